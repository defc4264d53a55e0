// What every session store does, as session_store.h says: each case with each store.

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/store/session_store.h"
#include "core/store/store_address.h"
#include "tests/core/store/store_calls.h"
#include "tests/support/certificates.h"
#include "tests/support/fake_clock.h"
#include "tests/support/redis_server.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

class SessionStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "sqlite") {
      address_.text = "sqlite:" + (folder_ / "sessions.db").string();
      return;
    }
    if (!RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
    if (std::string(GetParam()) == "rediss") {
      const CertificateFiles ours = authority_.Issue("client", "DNS:client");
      redis_ =
          std::make_unique<RedisServer>(authority_.Issue("server", "IP:127.0.0.1"), authority_.ca_file());
      address_.text = "rediss://127.0.0.1:" + std::to_string(redis_->tls_port());
      address_.tls = {authority_.ca_file(), ours.certificate, ours.key};
      return;
    }
    redis_ = std::make_unique<RedisServer>();
    address_.text = redis_->store();
  }
  std::unique_ptr<SessionStore> OpenStore() {
    absl::StatusOr<std::unique_ptr<SessionStore>> store = OpenSessionStore(address_, &clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  FakeClock clock_;
  ScratchFolder folder_;
  TestAuthority authority_;
  std::unique_ptr<RedisServer> redis_;
  StoreAddress address_;
};

TEST_P(SessionStoreTest, TheModesOfAcquire) {
  const auto store = OpenStore();
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "x").outcome, StoreOutcome::kAbsent);
  const Acquired created = Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_EQ(created.outcome, StoreOutcome::kOk);
  EXPECT_TRUE(created.created);
  EXPECT_EQ(created.epoch, 1u);
  EXPECT_EQ(Acquire(*store, AcquireMode::kCreate, "y").outcome, StoreOutcome::kExists);
  const Acquired resumed = Acquire(*store, AcquireMode::kCreateOrResume, "y");
  EXPECT_EQ(resumed.outcome, StoreOutcome::kOk);
  EXPECT_FALSE(resumed.created);
  EXPECT_EQ(resumed.epoch, 2u);
  EXPECT_EQ(resumed.previous_epoch, 1u);
  EXPECT_EQ(resumed.previous_owner, "x");
  EXPECT_EQ(resumed.checkpoint, At(0));
}

TEST_P(SessionStoreTest, ABatchOfAcquiresIsInItsOrder) {
  const auto store = OpenStore();
  const std::string first = EncodeCheckpoint(At(0));
  const std::vector<AcquireRequest> requests = {{"a", AcquireMode::kCreate, "x", first, 0},
                                                {"b", AcquireMode::kResume, "x", first, 0},
                                                {"a", AcquireMode::kResume, "y", first, 0}};
  const std::vector<Acquired> acquired = store->AcquireBatch(requests);
  ASSERT_EQ(acquired.size(), 3u);
  EXPECT_TRUE(acquired[0].created);
  EXPECT_EQ(acquired[1].outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(acquired[2].epoch, 2u);
  EXPECT_EQ(acquired[2].previous_owner, "x");
}

TEST_P(SessionStoreTest, ALostAnswerToAcquireMayBeAskedForAgain) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  const Acquired created = Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_TRUE(created.outcome == StoreOutcome::kOk && created.created && created.epoch == 1);
  Acquire(*store, AcquireMode::kResume, "y");
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 2u);
}

TEST_P(SessionStoreTest, NoStepGoesBack) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_EQ(Put(*store, PutOf(1, "x", 5)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 4)).outcome, StoreOutcome::kStale);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 5)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("a").checkpoint, At(5));
}

TEST_P(SessionStoreTest, AZombieIsFencedAndTheOthersOfItsBatchAreNot) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "zombie");
  store->Acquire({"b", AcquireMode::kCreate, "zombie", EncodeCheckpoint(At(0)), 0});
  Acquire(*store, AcquireMode::kResume, "y");
  const std::vector<StorePut> puts = {PutOf(1, "zombie", 9),
                                      {{"b", 1, "zombie"}, 9, EncodeCheckpoint(At(9))},
                                      {{"c", 1, "zombie"}, 9, EncodeCheckpoint(At(9))}};
  const std::vector<StoreResult> results = store->PutBatch(puts);
  EXPECT_EQ(results[0].outcome, StoreOutcome::kFenced);
  EXPECT_EQ(results[1].outcome, StoreOutcome::kOk);
  EXPECT_EQ(results[2].outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(Put(*store, PutOf(2, "zombie", 9)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(store->Delete({"a", 1, "zombie"}).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(store->Release({"a", 1, "zombie"}).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(store->Get("a").checkpoint, At(0));
}

TEST_P(SessionStoreTest, AnAbsentRecordIsMadeAnewUnderItsEpoch) {
  const auto store = OpenStore();
  EXPECT_EQ(Put(*store, PutOf(7, "x", 3)).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(Put(*store, PutOf(7, "x", 3, /*recreate=*/true)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(7, "x", 4)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(6, "x", 5, /*recreate=*/true)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 8u);
}

TEST_P(SessionStoreTest, WhatIsReleasedOrDeletedIsNoLongerOnesOwn) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_EQ(store->Release({"a", 1, "x"}).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 1)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 2u);
  EXPECT_EQ(store->Delete({"a", 2, "y"}).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Delete({"a", 2, "y"}).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(store->Get("a").outcome, StoreOutcome::kAbsent);
}

TEST_P(SessionStoreTest, ListGivesEachOnceInPages) {
  const auto store = OpenStore();
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    store->Acquire({id, AcquireMode::kCreate, "x", EncodeCheckpoint(At(0)), 0});
  }
  std::vector<std::string> ids;
  std::string next;
  do {
    const absl::StatusOr<StoredPage> page = store->List(next, 2);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const StoredSession& session : page->sessions) ids.push_back(session.id);
    next = page->next;
  } while (!next.empty());
  std::sort(ids.begin(), ids.end());
  EXPECT_THAT(ids, ::testing::ElementsAre("a", "b", "c", "d", "e"));
}

TEST_P(SessionStoreTest, TwoAcquirersGetEachEpochOnce) {
  constexpr int kEach = 50;
  const auto one = OpenStore();
  const auto two = OpenStore();
  std::vector<uint64_t> epochs[2];
  const auto acquire = [](SessionStore* store, const std::string& name, std::vector<uint64_t>* got) {
    for (int i = 0; i < kEach; ++i) {
      const Acquired acquired = Acquire(*store, AcquireMode::kCreateOrResume, name + std::to_string(i));
      if (acquired.outcome == StoreOutcome::kOk) got->push_back(acquired.epoch);
    }
  };
  std::thread other(acquire, two.get(), "two", &epochs[1]);
  acquire(one.get(), "one", &epochs[0]);
  other.join();
  std::set<uint64_t> all(epochs[0].begin(), epochs[0].end());
  all.insert(epochs[1].begin(), epochs[1].end());
  EXPECT_EQ(all.size(), 2u * kEach);
  EXPECT_EQ(*all.rbegin(), 2u * kEach);
}

TEST_P(SessionStoreTest, WhoIsFencedIsToldByWhom) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  Acquire(*store, AcquireMode::kResume, "y/1234");
  const StoreResult fenced = Put(*store, PutOf(1, "x", 1));
  EXPECT_EQ(fenced.outcome, StoreOutcome::kFenced);
  EXPECT_EQ(fenced.epoch, 2u);
  EXPECT_EQ(fenced.owner, "y/1234");
}

TEST_P(SessionStoreTest, ManyAtOnceAndNoneAtAll) {
  const auto store = OpenStore();
  constexpr int kMany = 1000;
  std::vector<AcquireRequest> requests;
  std::vector<StorePut> puts;
  for (int i = 0; i < kMany; ++i) {
    const std::string id = "id-" + std::to_string(i);
    requests.push_back({id, AcquireMode::kCreate, "x", EncodeCheckpoint(At(0)), 0});
    puts.push_back({{id, 1, "x"}, i, EncodeCheckpoint(At(i))});
  }
  for (const Acquired& acquired : store->AcquireBatch(requests)) ASSERT_TRUE(acquired.created);
  for (const StoreResult& result : store->PutBatch(puts)) ASSERT_EQ(result.outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("id-999").checkpoint, At(999));
  EXPECT_TRUE(store->AcquireBatch({}).empty());
  EXPECT_TRUE(store->PutBatch({}).empty());
  EXPECT_TRUE(store->Renew({}, absl::Hours(1)).empty());
}

TEST_P(SessionStoreTest, WhatWasAcknowledgedIsThereForTheNext) {
  {
    const auto store = OpenStore();
    Acquire(*store, AcquireMode::kCreate, "x");
    Put(*store, PutOf(1, "x", 7));
  }
  const auto store = OpenStore();
  EXPECT_EQ(store->durability(), DurabilityClass::kPowerLoss);
  EXPECT_EQ(store->Get("a").checkpoint, At(7));
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 2u);
}

TEST_P(SessionStoreTest, WhatIsKeptForEverIsKept) {
  const auto store = OpenStore();
  AcquireRequest request{"a", AcquireMode::kCreate, "x", EncodeCheckpoint(At(0)), 0};
  request.ttl = absl::InfiniteDuration();
  EXPECT_TRUE(store->Acquire(request).created);
  StorePut put = PutOf(1, "x", 1);
  put.ttl = absl::InfiniteDuration();
  EXPECT_EQ(Put(*store, put).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Renew({&put.claim, 1}, absl::InfiniteDuration()).at(0).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("a").checkpoint, At(1));
}

// Beyond what a double tells apart.
TEST_P(SessionStoreTest, FarEpochsAndStepsAreToldApart) {
  constexpr int64_t kFar = int64_t{1} << 53;
  const auto store = OpenStore();
  EXPECT_EQ(Put(*store, PutOf(kFar + 1, "x", kFar + 1, /*recreate=*/true)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(kFar + 1, "x", kFar)).outcome, StoreOutcome::kStale);
  EXPECT_EQ(Put(*store, PutOf(kFar, "x", kFar + 2)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, uint64_t{kFar} + 2);
}

TEST_P(SessionStoreTest, ADamagedNewestFallsBackAndTwoAreToldAsDamage) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  StorePut damaged = PutOf(1, "x", 5);
  damaged.checkpoint.back() ^= 1;
  EXPECT_EQ(Put(*store, damaged).outcome, StoreOutcome::kOk);
  const Acquired fallen = Acquire(*store, AcquireMode::kResume, "y");
  EXPECT_EQ(fallen.outcome, StoreOutcome::kOk);
  EXPECT_TRUE(fallen.fell_back);
  EXPECT_EQ(fallen.checkpoint, At(0));
  damaged.claim = {"a", 2, "y"};
  damaged.step = 6;
  EXPECT_EQ(Put(*store, damaged).outcome, StoreOutcome::kOk);
  const Acquired lost = Acquire(*store, AcquireMode::kResume, "z");
  EXPECT_EQ(lost.outcome, StoreOutcome::kDamaged);
  EXPECT_EQ(lost.epoch, 3u);
  EXPECT_EQ(store->Get("a").outcome, StoreOutcome::kDamaged);
}

TEST_P(SessionStoreTest, ABatchOfPutsIsInItsOrder) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  const std::vector<StorePut> puts = {PutOf(1, "x", 1), PutOf(1, "x", 3), PutOf(1, "x", 2)};
  const std::vector<StoreResult> results = store->PutBatch(puts);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, StoreOutcome::kOk);
  EXPECT_EQ(results[1].outcome, StoreOutcome::kOk);
  EXPECT_EQ(results[2].outcome, StoreOutcome::kStale);
  EXPECT_EQ(store->Get("a").checkpoint, At(3));
}

TEST_P(SessionStoreTest, IdsOfEveryLegalCharacterComeBackAsTheyWere) {
  const auto store = OpenStore();
  const std::string id = "Aabcdefghijklmnopqrstuvwxyz_BCDEFGHIJKLMNOPQRSTUVWXYZ.0123456789-";
  store->Acquire({id, AcquireMode::kCreate, "x", EncodeCheckpoint(At(0)), 0});
  const absl::StatusOr<StoredPage> page = store->List("", 100);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->sessions.size(), 1u);
  EXPECT_EQ(page->sessions[0].id, id);
  EXPECT_EQ(page->sessions[0].owner, "x");
}

INSTANTIATE_TEST_SUITE_P(Stores, SessionStoreTest, ::testing::Values("sqlite", "redis", "rediss"),
                         [](const auto& store) { return std::string(store.param); });

}  // namespace
}  // namespace gruserve

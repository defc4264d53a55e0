#include "core/store/sqlite/sqlite_session_store.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "core/store/sqlite/sqlite_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

Checkpoint At(int64_t step, size_t size = 16) {
  Checkpoint checkpoint;
  checkpoint.model_name = "demo";
  checkpoint.step = step;
  checkpoint.state_shapes = {{"h", {static_cast<int64_t>(size)}}};
  checkpoint.state.assign(size, static_cast<float>(step));
  return checkpoint;
}

class SqliteSessionStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteSessionStore> OpenStore() {
    absl::StatusOr<std::unique_ptr<SqliteSessionStore>> store = SqliteSessionStore::Open(path(), &clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  std::string path() const { return folder_ / "sessions.db"; }

  static Acquired Acquire(SessionStore& store, AcquireMode mode, const std::string& owner) {
    return store.Acquire({"a", mode, owner, EncodeCheckpoint(At(0)), 0});
  }
  static StorePut PutOf(uint64_t epoch, const std::string& owner, int64_t step, bool recreate = false) {
    StorePut put{{"a", epoch, owner}, step, EncodeCheckpoint(At(step))};
    put.recreate = recreate;
    return put;
  }
  static StoreResult Put(SessionStore& store, const StorePut& put) { return store.PutBatch({&put, 1}).at(0); }

  void Sql(const std::string& sql) {
    auto database = SqliteDatabase::Open(path());
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::Status status = (*database)->Execute(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

  FakeClock clock_;
  ScratchFolder folder_;
};

TEST_F(SqliteSessionStoreTest, TheModesOfAcquire) {
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

TEST_F(SqliteSessionStoreTest, ABatchOfAcquiresIsInItsOrder) {
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

TEST_F(SqliteSessionStoreTest, ALostAnswerToAcquireMayBeAskedForAgain) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  const Acquired created = Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_TRUE(created.outcome == StoreOutcome::kOk && created.created && created.epoch == 1);
  Acquire(*store, AcquireMode::kResume, "y");
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 2u);
}

TEST_F(SqliteSessionStoreTest, NoStepGoesBack) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_EQ(Put(*store, PutOf(1, "x", 5)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 4)).outcome, StoreOutcome::kStale);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 5)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("a").checkpoint, At(5));
}

TEST_F(SqliteSessionStoreTest, AZombieIsFencedAndTheOthersOfItsBatchAreNot) {
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

TEST_F(SqliteSessionStoreTest, AnAbsentRecordIsMadeAnewUnderItsEpoch) {
  const auto store = OpenStore();
  EXPECT_EQ(Put(*store, PutOf(7, "x", 3)).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(Put(*store, PutOf(7, "x", 3, /*recreate=*/true)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(7, "x", 4)).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(6, "x", 5, /*recreate=*/true)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 8u);
}

TEST_F(SqliteSessionStoreTest, WhatIsReleasedOrDeletedIsNoLongerOnesOwn) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  EXPECT_EQ(store->Release({"a", 1, "x"}).outcome, StoreOutcome::kOk);
  EXPECT_EQ(Put(*store, PutOf(1, "x", 1)).outcome, StoreOutcome::kFenced);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").epoch, 2u);
  EXPECT_EQ(store->Delete({"a", 2, "y"}).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Delete({"a", 2, "y"}).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(store->Get("a").outcome, StoreOutcome::kAbsent);
}

TEST_F(SqliteSessionStoreTest, RecordsLiveForTheirTimeAndRenewPutsItOff) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  clock_.Advance(absl::Minutes(59));
  const StoreClaim claim{"a", 1, "x"};
  EXPECT_EQ(store->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kOk);
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(store->Get("a").outcome, StoreOutcome::kOk);
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(store->Renew({&claim, 1}, absl::Hours(1)).at(0).outcome, StoreOutcome::kAbsent);
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "y").outcome, StoreOutcome::kAbsent);
  EXPECT_TRUE(Acquire(*store, AcquireMode::kCreate, "y").created);
}

TEST_F(SqliteSessionStoreTest, ListGivesEachOnceInPages) {
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
  EXPECT_THAT(ids, ::testing::ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(SqliteSessionStoreTest, TwoAcquirersGetEachEpochOnce) {
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

TEST_F(SqliteSessionStoreTest, ADamagedNewestFallsBackToTheOneBefore) {
  {
    const auto store = OpenStore();
    Acquire(*store, AcquireMode::kCreate, "x");
    Put(*store, PutOf(1, "x", 1));
    Put(*store, PutOf(1, "x", 2));
    Put(*store, PutOf(1, "x", 2));
  }
  Sql("UPDATE sessions SET newest = substr(newest, 1, length(newest) - 5)");
  const auto store = OpenStore();
  const Acquired acquired = Acquire(*store, AcquireMode::kResume, "y");
  EXPECT_EQ(acquired.outcome, StoreOutcome::kOk);
  EXPECT_TRUE(acquired.fell_back);
  EXPECT_EQ(acquired.checkpoint, At(1));
  Sql("UPDATE sessions SET previous = x'00'");
  EXPECT_EQ(Acquire(*store, AcquireMode::kResume, "z").outcome, StoreOutcome::kDamaged);
}

TEST_F(SqliteSessionStoreTest, ATornLogEndsAtItsLastWholeBatch) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  Put(*store, PutOf(1, "x", 1));
  Put(*store, PutOf(1, "x", 2));
  // As a crash would leave it: the files of a store that is open.
  const ScratchFolder crashed;
  std::filesystem::copy(path(), crashed / "sessions.db");
  std::filesystem::copy(path() + "-wal", crashed / "sessions.db-wal");
  std::filesystem::resize_file(crashed / "sessions.db-wal",
                               std::filesystem::file_size(crashed / "sessions.db-wal") - 100);
  auto after = SqliteSessionStore::Open(crashed / "sessions.db", &clock_);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*after)->Get("a").checkpoint, At(1));
}

TEST_F(SqliteSessionStoreTest, FilesThatAreNotItsOwnAreRefused) {
  std::ofstream(path()) << std::string(8192, 'x');
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path())));
  std::filesystem::remove(path());
  Sql("CREATE TABLE other (x)");
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another program's")));
  std::filesystem::remove(path());
  OpenStore();
  Sql("PRAGMA user_version = 9");
  EXPECT_THAT(SqliteSessionStore::Open(path(), &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has schema version 9")));
  EXPECT_THAT(SqliteSessionStore::Open(folder_ / "no" / "such.db", &clock_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unable to open")));
}

// No file of this process may grow beyond `bytes` while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(SqliteSessionStoreTest, AFullDiskIsUnavailableUntilThereIsRoom) {
  const auto store = OpenStore();
  Acquire(*store, AcquireMode::kCreate, "x");
  StorePut large = PutOf(1, "x", 2);
  large.checkpoint = EncodeCheckpoint(At(2, 1 << 18));
  {
    const FileSizeLimit full(200'000);
    EXPECT_EQ(Put(*store, PutOf(1, "x", 1)).outcome, StoreOutcome::kOk);
    EXPECT_EQ(Put(*store, large).outcome, StoreOutcome::kUnavailable);
    EXPECT_EQ(store->Get("a").checkpoint, At(1));
  }
  EXPECT_EQ(Put(*store, large).outcome, StoreOutcome::kOk);
  EXPECT_EQ(store->Get("a").checkpoint, At(2, 1 << 18));
}

}  // namespace
}  // namespace gruserve

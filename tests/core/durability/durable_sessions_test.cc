// Sessions that outlive their server: what is durable comes back bit for bit, one
// owner has a session, and what a store cannot do is said.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/input_digest.h"
#include "core/session/session_id.h"
#include "core/store/sqlite/sqlite_session_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/durability/durable_replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/session_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr GruConfig kConfig{.input_size = 3, .hidden_size = 5, .num_layers = 2};

class DurableSessionsTest : public ::testing::Test {
 protected:
  static const LoadedRandomModel& demo() {
    static const auto* const model = new LoadedRandomModel(1, kConfig);
    return *model;
  }

  void SetUp() override {
    auto store = SqliteSessionStore::Open(folder_ / "sessions.db", &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  std::unique_ptr<DurableReplica> NewReplica(SessionOpener::Options options = {},
                                             absl::Duration flush_interval = absl::Hours(1)) {
    const auto find = [this](const std::string& name, int64_t version) -> absl::StatusOr<ModelHandle> {
      if (name == "demo" && version == 1) return served_;
      return absl::NotFoundError("no such model");
    };
    return std::make_unique<DurableReplica>(store_.get(), &clock_, find, options, flush_interval);
  }

  static OpenSessionOptions Options(OpenMode mode, const std::shared_ptr<RecordingSink>& sink,
                                    std::optional<Durability> durability = std::nullopt) {
    OpenSessionOptions options;
    options.id = "a";
    options.mode = mode;
    options.durability = durability;
    if (mode != OpenMode::kResume) options.model = demo().handle();
    options.attachment.sink = sink;
    options.attachment.handle = 7;
    return options;
  }
  std::shared_ptr<Session> Open(DurableReplica& replica, OpenSessionOptions options) {
    auto session = replica.Open(std::move(options));
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? *session : nullptr;
  }
  std::shared_ptr<Session> Create(DurableReplica& replica, Durability durability = Durability::kAsync) {
    return Open(replica, Options(OpenMode::kCreate, sink_, durability));
  }
  std::shared_ptr<Session> Resume(DurableReplica& replica, const std::shared_ptr<RecordingSink>& sink) {
    return Open(replica, Options(OpenMode::kResume, sink));
  }

  // The input of step `index`, and what an uninterrupted run answers to it.
  static std::vector<float> Input(int64_t index) {
    return {static_cast<float>(index % 7) / 7.0f, -0.5f, static_cast<float>(index % 5) / 5.0f};
  }
  static std::vector<float> Expected(int64_t index) {
    std::vector<float> inputs;
    for (int64_t i = 1; i <= index; ++i) {
      const std::vector<float> input = Input(i);
      inputs.insert(inputs.end(), input.begin(), input.end());
    }
    std::vector<float> state;
    const std::vector<float> outputs = demo().RunAlone(1, inputs, &state);
    return {outputs.end() - kConfig.hidden_size, outputs.end()};
  }
  void Step(DurableReplica& replica, Session& session, int64_t index,
            const std::shared_ptr<RecordingSink>& sink) {
    replica.Run(session, StepOp(Input(index), 1, index), sink);
  }
  void ExpectStep(const std::shared_ptr<RecordingSink>& sink, int64_t index) {
    ASSERT_FALSE(sink->results().empty());
    EXPECT_TRUE(sink->last().status.ok()) << sink->last().status;
    EXPECT_EQ(sink->last().index, index);
    EXPECT_THAT(sink->last().output, ElementsAreArray(Expected(index)));
  }

  FakeClock clock_;
  ScratchFolder folder_;
  std::unique_ptr<SqliteSessionStore> store_;
  ModelHandle served_ = demo().handle();
  const std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  const std::shared_ptr<RecordingSink> other_ = std::make_shared<RecordingSink>();
};

TEST_F(DurableSessionsTest, AsyncGoesOnFromItsLastCheckpoint) {
  uint64_t digest = FirstInputDigest("a", demo().handle()->weights_sha256());
  {
    const auto replica = NewReplica();
    const auto session = Create(*replica);
    EXPECT_EQ(session->Describe().durability, Durability::kAsync);
    for (int64_t i = 1; i <= 3; ++i) Step(*replica, *session, i, sink_);
    EXPECT_EQ(sink_->last().durable_step, 0);
    EXPECT_TRUE(replica->Flush());
    for (int64_t i = 4; i <= 6; ++i) Step(*replica, *session, i, sink_);
    EXPECT_EQ(sink_->last().durable_step, 3);
    EXPECT_EQ(session->Describe().durable_step, 3);
  }
  for (int64_t i = 1; i <= 3; ++i) digest = ExtendInputDigest(digest, i, false, Input(i));
  const auto replica = NewReplica();
  const auto session = Resume(*replica, other_);
  const SessionDescription description = session->Describe();
  EXPECT_EQ(description.next_step, 4);
  EXPECT_EQ(description.durable_step, 3);
  EXPECT_EQ(description.epoch, 2u);
  EXPECT_EQ(description.input_digest, digest);
  EXPECT_TRUE(description.bit_exact);
  for (int64_t i = 4; i <= 8; ++i) {
    Step(*replica, *session, i, other_);
    ExpectStep(other_, i);
  }
}

TEST_F(DurableSessionsTest, CheckpointsComeOnTheirOwn) {
  const auto replica = NewReplica({}, absl::Milliseconds(1));
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  clock_.Advance(absl::Milliseconds(2));
  while (session->Describe().durable_step < 1) std::this_thread::yield();
  EXPECT_EQ(store_->Get("a").checkpoint->step, 1);
}

TEST_F(DurableSessionsTest, SyncAnswersOnceItIsDurable) {
  const auto replica = NewReplica();
  const auto session = Create(*replica, Durability::kSync);
  replica->store().set_down(true);
  Step(*replica, *session, 1, sink_);
  Step(*replica, *session, 2, sink_);
  replica->Run(*session, StepOp({1.0f}), sink_);  // A refusal keeps its place.
  EXPECT_THAT(sink_->results(), IsEmpty());
  replica->store().set_down(false);
  EXPECT_TRUE(replica->Flush());
  ASSERT_THAT(sink_->results(), SizeIs(3));
  EXPECT_EQ(sink_->results()[0].index, 1);
  EXPECT_GE(sink_->results()[0].durable_step, 1);
  EXPECT_THAT(sink_->results()[1].output, ElementsAreArray(Expected(2)));
  EXPECT_EQ(sink_->results()[2].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Get("a").checkpoint->step, 2);
}

TEST_F(DurableSessionsTest, WhatIsRememberedIsDurableToo) {
  {
    const auto replica = NewReplica();
    OpenSessionOptions options = Options(OpenMode::kCreate, sink_, Durability::kSync);
    options.remember_steps = 2;
    const auto session = Open(*replica, options);
    for (int64_t i = 1; i <= 3; ++i) Step(*replica, *session, i, sink_);
    replica->Flush();
    replica->Run(*session, SetStateOp({}, 4), sink_);
    replica->Flush();
  }
  const auto replica = NewReplica();
  const auto session = Resume(*replica, other_);
  EXPECT_EQ(session->Describe().remember_steps, 2);
  EXPECT_EQ(session->Describe().durability, Durability::kSync);
  Step(*replica, *session, 3, other_);
  ExpectStep(other_, 3);
  EXPECT_TRUE(other_->last().replayed);
  replica->Run(*session, SetStateOp({}, 4), other_);
  EXPECT_TRUE(other_->last().status.ok() && other_->last().replayed) << other_->last().status;
  Step(*replica, *session, 2, other_);
  EXPECT_EQ(other_->last().status.code(), absl::StatusCode::kOutOfRange);
}

TEST_F(DurableSessionsTest, AnotherReplicaTakesOverAndTheFirstIsFenced) {
  const auto first = NewReplica();
  const auto second = NewReplica();
  const auto session = Create(*first);
  Step(*first, *session, 1, sink_);
  first->Flush();
  Step(*first, *session, 2, sink_);
  const auto taken = Resume(*second, other_);
  EXPECT_EQ(taken->Describe().next_step, 2);
  Step(*second, *taken, 2, other_);
  ExpectStep(other_, 2);
  // The first learns of it when it writes.
  Step(*first, *session, 3, sink_);
  EXPECT_TRUE(first->Flush());
  ASSERT_THAT(sink_->detached(), SizeIs(1));
  EXPECT_EQ(sink_->detached()[0].status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(sink_->detached()[0].reason, SessionErrorReason::kFenced);
  EXPECT_EQ(sink_->detached()[0].epoch, 2u);
  Step(*first, *session, 4, sink_);
  EXPECT_EQ(sink_->last().status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(first->table().counters().live, 0);
  EXPECT_EQ(first->table().counters().fenced, 1);
  second->Flush();
  EXPECT_EQ(store_->Get("a").checkpoint->step, 2);
}

TEST_F(DurableSessionsTest, ResultsThatWaitAreRefusedWhereTheSessionIsLost) {
  const auto first = NewReplica();
  const auto second = NewReplica();
  const auto session = Create(*first, Durability::kSync);
  first->store().set_down(true);
  Step(*first, *session, 1, sink_);
  Resume(*second, other_);
  first->store().set_down(false);
  EXPECT_TRUE(first->Flush());
  ASSERT_THAT(sink_->results(), SizeIs(1));
  EXPECT_EQ(sink_->last().status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(sink_->last().output, IsEmpty());
}

TEST_F(DurableSessionsTest, AServerDoesNotFenceItself) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  EXPECT_EQ(session->epoch(), 2u);
  Step(*replica, *session, 2, other_);
  ExpectStep(other_, 2);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(session->Describe().durable_step, 2);
  EXPECT_EQ(store_->Get("a").checkpoint->epoch, 2u);
}

TEST_F(DurableSessionsTest, AZombieThatIsResumedLearnsThatItIsOne) {
  const auto zombie = NewReplica();
  const auto session = Create(*zombie);
  zombie->table().DetachAll(sink_.get());
  {
    const auto other = NewReplica();
    const auto taken = Resume(*other, other_);
    Step(*other, *taken, 1, other_);
    other->Flush();
  }
  const auto back = Resume(*zombie, sink_);
  EXPECT_NE(back, session);
  EXPECT_EQ(back->Describe().next_step, 2);
  EXPECT_EQ(back->epoch(), 3u);
  Step(*zombie, *back, 2, sink_);
  ExpectStep(sink_, 2);
}

TEST_F(DurableSessionsTest, AResumeThatIsRefusedLeavesTheHolderAlone) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  EXPECT_THAT(replica->Open(Options(OpenMode::kResume, other_)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another client's stream holds")));
  Step(*replica, *session, 1, sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(session->Describe().durable_step, 1);
}

TEST_F(DurableSessionsTest, AnIdIsTakenWhereItIsStored) {
  { Create(*NewReplica()); }
  const auto replica = NewReplica();
  for (const Durability durability : {Durability::kAsync, Durability::kNone}) {
    EXPECT_THAT(replica->Open(Options(OpenMode::kCreate, sink_, durability)).status(),
                StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("\"a\" is stored already")));
  }
  EXPECT_EQ(Open(*replica, Options(OpenMode::kCreateOrResume, sink_))->epoch(), 2u);
}

TEST_F(DurableSessionsTest, CloseForgetsTheRecord) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  replica->Run(*session, CloseOp(), sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kAbsent);
  EXPECT_THAT(replica->Open(Options(OpenMode::kResume, sink_)).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"a\"")));
  EXPECT_NE(Create(*replica), nullptr);
}

TEST_F(DurableSessionsTest, EvictionLeavesTheRecord) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  Step(*replica, *session, 1, sink_);
  clock_.Advance(absl::Minutes(6));
  replica->table().Expire();
  EXPECT_EQ(replica->table().counters().live, 1) << "what is not durable yet stays";
  replica->Flush();
  clock_.Advance(absl::Minutes(6));
  replica->table().Expire();
  EXPECT_EQ(replica->table().counters().live, 0);
  ASSERT_THAT(sink_->detached(), SizeIs(1));
  const auto back = Resume(*replica, other_);
  Step(*replica, *back, 2, other_);
  ExpectStep(other_, 2);
}

TEST_F(DurableSessionsTest, ARecordThatIsGoneIsMadeAnew) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  ASSERT_EQ(store_->Delete(session->claim().claim).outcome, StoreOutcome::kOk);
  Step(*replica, *session, 1, sink_);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").checkpoint->step, 1);
  ASSERT_EQ(store_->Delete(session->claim().claim).outcome, StoreOutcome::kOk);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").epoch, 2u);
}

TEST_F(DurableSessionsTest, RecordsAreRenewedWhileTheirSessionsLive) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  for (int i = 0; i < 12; ++i) {
    clock_.Advance(absl::Minutes(21));
    EXPECT_TRUE(replica->Flush());
    // The renewal that is due is a turn of its own.
    replica->writer().Get("a", [](const Acquired&) {});
    EXPECT_TRUE(replica->Flush());
  }
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kOk);
}

TEST_F(DurableSessionsTest, AStoreThatIsDownStopsOpensAndNotSteps) {
  SessionOpener::Options options;
  options.max_undurable = 3;
  const auto replica = NewReplica(options);
  const auto session = Create(*replica);
  replica->store().set_down(true);
  for (int64_t i = 1; i <= 3; ++i) {
    Step(*replica, *session, i, sink_);
    ExpectStep(sink_, i);
  }
  Step(*replica, *session, 4, sink_);
  EXPECT_EQ(sink_->last().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink_->last().reason, SessionErrorReason::kCredits);
  EXPECT_THAT(std::string(sink_->last().status.message()), HasSubstr("max_undurable = 3"));
  OpenSessionOptions another = Options(OpenMode::kCreate, other_);
  another.id = "b";
  EXPECT_THAT(replica->Open(another).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the session store does not answer")));
  EXPECT_FALSE(replica->writer().counters().available);
  replica->store().set_down(false);
  EXPECT_TRUE(replica->Flush());
  EXPECT_TRUE(replica->writer().counters().available);
  Step(*replica, *session, 4, sink_);
  ExpectStep(sink_, 4);
}

TEST_F(DurableSessionsTest, AModelOfOtherWeightsDoesNotGoOn) {
  { Create(*NewReplica()); }
  const LoadedModel& model = *demo().handle();
  const auto changed =
      LoadedModel::Create("demo", 1, "0123456789abcdef", model.shared_network(), 1, model.step_costs());
  ASSERT_TRUE(changed.ok()) << changed.status();
  served_ = *changed;
  const auto replica = NewReplica();
  EXPECT_THAT(
      replica->Open(Options(OpenMode::kResume, sink_)).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the stored session was computed with")));
}

TEST_F(DurableSessionsTest, WhatTheStoredSessionIsNotIsRefusedByName) {
  { Create(*NewReplica()); }
  const auto replica = NewReplica();
  const auto refused = [&](const char* message, const std::function<void(OpenSessionOptions*)>& change) {
    OpenSessionOptions options = Options(OpenMode::kResume, sink_);
    change(&options);
    EXPECT_THAT(replica->Open(options).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refused("batch_size is 2", [](OpenSessionOptions* options) { options->batch_size = 2; });
  refused("durability is SYNC", [](OpenSessionOptions* options) { options->durability = Durability::kSync; });
  refused("remember_steps is 5", [](OpenSessionOptions* options) { options->remember_steps = 5; });
}

TEST_F(DurableSessionsTest, OtherKernelsGoOnWhereTheyMayAndSaySo) {
  {
    const auto replica = NewReplica();
    const auto session = Create(*replica);
    Checkpoint other = *store_->Get("a").checkpoint;
    other.kernel_fingerprint = "another processor";
    const StorePut put{session->claim().claim, 0, EncodeCheckpoint(other)};
    ASSERT_EQ(store_->PutBatch({&put, 1}).at(0).outcome, StoreOutcome::kOk);
  }
  SessionOpener::Options strict;
  strict.require_bit_exact = true;
  EXPECT_THAT(NewReplica(strict)->Open(Options(OpenMode::kResume, sink_)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another processor")));
  EXPECT_FALSE(Resume(*NewReplica(), sink_)->Describe().bit_exact);
}

TEST_F(DurableSessionsTest, SomeSessionsOnlyLiveInMemory) {
  const auto replica = NewReplica();
  const auto session = Create(*replica, Durability::kNone);
  EXPECT_FALSE(session->durable());
  EXPECT_EQ(store_->Get("a").outcome, StoreOutcome::kAbsent);
  replica->table().DetachAll(sink_.get());
  EXPECT_EQ(Resume(*replica, other_), session);
  OpenSessionOptions minted = Options(OpenMode::kCreate, sink_, Durability::kAsync);
  minted.id.clear();
  const auto named = Open(*replica, minted);
  EXPECT_TRUE(IsMintedSessionId(named->id()));
  EXPECT_EQ(store_->Get(named->id()).outcome, StoreOutcome::kOk);
}

TEST_F(DurableSessionsTest, WithoutAStoreDurabilityIsRefused) {
  SessionOpener opener({}, nullptr, nullptr, nullptr);
  EXPECT_THAT(opener.CheckDurability(Durability::kAsync),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("durability is ASYNC, this server has no store")));
  EXPECT_TRUE(opener.CheckDurability(std::nullopt).ok());
}

}  // namespace
}  // namespace gruserve

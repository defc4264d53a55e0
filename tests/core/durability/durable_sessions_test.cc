// Sessions that outlive their server: what is durable comes back bit for bit, and what
// a store cannot do is said.

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/base/input_digest.h"
#include "tests/core/durability/durable_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using DurableSessionsTest = DurableFixture;

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
  for (int64_t i = 1; i <= 3; ++i) digest = ExtendInputDigest(digest, i, 1, false, Input(i));
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

TEST_F(DurableSessionsTest, WhatIsStoredOutlivesARetiredModel) {
  const auto replica = NewReplica();
  const auto session = Create(*replica, Durability::kSync);
  Step(*replica, *session, 1, sink_);
  EXPECT_TRUE(replica->Flush());
  ASSERT_THAT(sink_->results(), SizeIs(1));
  replica->store().set_down(true);
  Step(*replica, *session, 2, sink_);
  replica->table().EndSessionsOf(*demo().handle(), absl::Hours(1));
  ASSERT_THAT(sink_->results(), SizeIs(2));
  EXPECT_EQ(sink_->last().reason, SessionErrorReason::kVersionRetired) << "it was not durable then";
  replica->store().set_down(false);
  EXPECT_TRUE(replica->Flush());
  // As after a crash, the next step says what became of it.
  const auto again = Resume(*replica, other_);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->Describe().next_step, 3);
  Step(*replica, *again, 3, other_);
  EXPECT_TRUE(replica->Flush());
  ExpectStep(other_, 3);
}

TEST_F(DurableSessionsTest, ARetiredModelsSessionIsStoredWholly) {
  const auto replica = NewReplica();
  const auto session = Create(*replica, Durability::kAsync);
  for (int64_t i = 1; i <= 2; ++i) Step(*replica, *session, i, sink_);
  replica->table().EndSessionsOf(*demo().handle(), absl::Hours(1));
  EXPECT_TRUE(replica->Flush());
  const auto again = Resume(*replica, other_);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->Describe().next_step, 3);
  Step(*replica, *again, 3, other_);
  ExpectStep(other_, 3);
}

// What sessions are carried over to.
const LoadedRandomModel& Next(const GruConfig& config) {
  static const auto* const model = new LoadedRandomModel(2, config, 1, "demo", 2);
  return *model;
}

TEST_F(DurableSessionsTest, ACarriedSessionsRecordNamesItsNewModel) {
  {
    const auto replica = NewReplica();
    const auto session = Create(*replica);
    Step(*replica, *session, 1, sink_);
    EXPECT_TRUE(replica->Flush());
    replica->table().CarrySessions(*demo().handle(), Next(kConfig).handle());
    EXPECT_TRUE(replica->Flush());
  }
  EXPECT_EQ(store_->Get("a").checkpoint->model_version, 2);
  EXPECT_EQ(store_->Get("a").checkpoint->step, 1);
  const SessionOpener::FindModel find = [](const std::string&,
                                           int64_t version) -> absl::StatusOr<ModelHandle> {
    if (version == 2) return Next(kConfig).handle();
    return absl::NotFoundError("no such model");
  };
  DurableReplica replica(store_.get(), &clock_, find);
  const auto session = Resume(replica, other_);
  Step(replica, *session, 2, other_);
  std::vector<float> state;
  demo().RunAlone(1, Input(1), &state);
  EXPECT_THAT(other_->last().output, ElementsAreArray(Next(kConfig).RunAlone(1, Input(2), &state)));
  EXPECT_TRUE(session->Describe().bit_exact);
}

TEST_F(DurableSessionsTest, AStoredSessionIsCarriedOverWhereItsVersionIsGone) {
  {
    const auto replica = NewReplica();
    const auto session = Create(*replica);
    Step(*replica, *session, 1, sink_);
    EXPECT_TRUE(replica->Flush());
  }
  ModelHandle served = Next(kConfig).handle();
  const SessionOpener::FindModel find = [&](const std::string&,
                                            int64_t version) -> absl::StatusOr<ModelHandle> {
    if (version == 0) return served;
    return absl::NotFoundError("no such model");
  };
  const auto resume = [&](const SessionOpener::Options& options,
                          const std::function<void(Session*, DurableReplica&)>& see) {
    DurableReplica replica(store_.get(), &clock_, find, options);
    auto session = replica.Open(Options(OpenMode::kResume, other_));
    see(session.ok() ? session->get() : nullptr, replica);
    return session.status();
  };
  const auto nothing = [](Session*, DurableReplica&) {};
  SessionOpener::Options options;
  EXPECT_EQ(resume(options, nothing).code(), absl::StatusCode::kNotFound);
  options.carries_sessions = [](const std::string& name) { return name == "demo"; };
  options.require_bit_exact = true;
  EXPECT_EQ(resume(options, nothing).code(), absl::StatusCode::kNotFound);
  options.require_bit_exact = false;
  const LoadedRandomModel wider(4, {.input_size = 3, .hidden_size = 6, .num_layers = 2}, 1, "demo", 2);
  served = wider.handle();
  EXPECT_THAT(resume(options, nothing),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has hidden states")));
  served = Next(kConfig).handle();
  EXPECT_TRUE(resume(options, [&](Session* session, DurableReplica& replica) {
                ASSERT_NE(session, nullptr);
                EXPECT_EQ(session->Describe().model_version, 2);
                EXPECT_FALSE(session->Describe().bit_exact);
                Step(replica, *session, 2, other_);
              }).ok());
  std::vector<float> state;
  demo().RunAlone(1, Input(1), &state);
  EXPECT_THAT(other_->last().output, ElementsAreArray(Next(kConfig).RunAlone(1, Input(2), &state)));
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

TEST_F(DurableSessionsTest, KeptStatesAndTheirRewindsAreStored) {
  uint64_t digest = 0;
  {
    const auto replica = NewReplica();
    OpenSessionOptions options = Options(OpenMode::kCreate, sink_, Durability::kAsync);
    options.keep_states = 4;
    const auto session = Open(*replica, options);
    for (int64_t i = 1; i <= 3; ++i) Step(*replica, *session, i, sink_);
    replica->Run(*session, RewindOp(1, 4), sink_);
    ASSERT_TRUE(sink_->last().status.ok()) << sink_->last().status;
    ASSERT_TRUE(replica->Flush());
    digest = session->Describe().input_digest;
  }
  const auto replica = NewReplica();
  const auto session = Resume(*replica, other_);
  EXPECT_EQ(session->Describe().input_digest, digest);
  EXPECT_EQ(session->keep_states(), 4);
  SessionOp again = StepOp(Input(2), 1, 5);
  replica->Run(*session, again, other_);
  ASSERT_TRUE(other_->last().status.ok()) << other_->last().status;
  EXPECT_THAT(other_->last().output, ElementsAreArray(Expected(2))) << "as after step 1";
  replica->Run(*session, RewindOp(2, 6), other_);
  ASSERT_TRUE(other_->last().status.ok()) << other_->last().status;
  replica->Run(*session, StepOp(Input(3), 1, 7), other_);
  EXPECT_THAT(other_->last().output, ElementsAreArray(Expected(3)));
  replica->Run(*session, RewindOp(2, 8), other_);
  EXPECT_THAT(other_->last().status,
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("states are kept after steps 4, 5, 6, 7")));
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

TEST_F(DurableSessionsTest, WhatIsNotWrittenYetIsNotEvicted) {
  const auto replica = NewReplica();
  const auto session = Create(*replica);
  replica->store().set_down(true);
  Step(*replica, *session, 1, sink_);
  // Its checkpoint is taken, and cannot be written.
  EXPECT_FALSE(replica->writer().Flush(absl::Milliseconds(20)));
  clock_.Advance(absl::Minutes(6));
  replica->table().Expire();
  EXPECT_EQ(replica->table().counters().live, 1);
  replica->store().set_down(false);
  EXPECT_TRUE(replica->Flush());
  clock_.Advance(absl::Minutes(6));
  replica->table().Expire();
  EXPECT_EQ(replica->table().counters().live, 0);
  EXPECT_TRUE(replica->Flush());
  EXPECT_EQ(store_->Get("a").checkpoint->step, 1);
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

TEST_F(DurableSessionsTest, AStoreThatNobodyNeedsIsMissedToo) {
  const auto replica = NewReplica();
  const auto wait = [&](bool available) {
    clock_.Advance(absl::Seconds(3));
    while (replica->writer().counters().available != available) std::this_thread::yield();
  };
  replica->store().set_down(true);
  wait(false);
  clock_.Advance(absl::Seconds(8));
  EXPECT_GE(replica->writer().counters().unavailable_for, absl::Seconds(8));
  replica->store().set_down(false);
  wait(true);
  EXPECT_EQ(replica->writer().counters().unavailable_for, absl::ZeroDuration());
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

TEST_F(DurableSessionsTest, WithoutAStoreDurabilityIsRefused) {
  SessionOpener opener({}, nullptr, nullptr, nullptr);
  EXPECT_THAT(opener.CheckDurability(Durability::kAsync),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("durability is ASYNC, this server has no store")));
  EXPECT_TRUE(opener.CheckDurability(std::nullopt).ok());
}

}  // namespace
}  // namespace gruserve

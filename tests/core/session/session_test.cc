#include "core/session/session.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SessionTest : public SessionFixture {
 protected:
  void SetUp() override {
    MakeTable({.max_inflight = 4});
    session_ = Open("a", sink_);
  }
  // The state, read in turn.
  std::vector<float> State() {
    std::vector<float> values;
    session_->ReadState(
        [&](const SessionDescription&, std::vector<float> state) { values = std::move(state); });
    executor_.RunAll();
    return values;
  }
  std::vector<int64_t> Indexes() const {
    std::vector<int64_t> indexes;
    for (const SessionOpResult& result : sink_->results()) indexes.push_back(result.index);
    return indexes;
  }

  std::shared_ptr<Session> session_;
};

// A block that malloc gives such an object has 8 bytes more, and ends at a multiple of 16.
TEST_F(SessionTest, ItAndItsCountsFillABlockOf240Bytes) {
  constexpr size_t kCounts = 16;  // Of std::make_shared.
  EXPECT_LE(sizeof(Session) + kCounts + 8, 240u);
}

TEST_F(SessionTest, StepsChunksAndTheWholeSequenceAreBitEqual) {
  const std::vector<float> input = Input(9);
  std::vector<float> state;
  const std::vector<float> whole = demo().RunAlone(1, input, &state);
  const auto chunked = Open("b", sink_);
  std::vector<float> by_steps;
  std::vector<float> by_chunks;
  for (int64_t t = 0; t < 9; ++t) {
    const auto output =
        Run(*session_, StepOp({input.begin() + t * 3, input.begin() + t * 3 + 3}), sink_).output;
    by_steps.insert(by_steps.end(), output.begin(), output.end());
  }
  for (const auto& [first, last] : {std::pair{0, 4}, std::pair{4, 5}, std::pair{5, 9}}) {
    const auto output =
        Run(*chunked, StepOp({input.begin() + first * 3, input.begin() + last * 3}, last - first), sink_)
            .output;
    by_chunks.insert(by_chunks.end(), output.begin(), output.end());
  }
  EXPECT_EQ(by_steps, whole);
  EXPECT_EQ(by_chunks, whole);
  EXPECT_EQ(State(), state);
}

TEST_F(SessionTest, ABatchedSessionKeepsRowsApartAndItsStateInPyTorchsOrder) {
  OpenSessionOptions options = Options("batched", sink_);
  options.batch_size = 3;
  options.h_0.resize(2 * 3 * 5);
  for (size_t i = 0; i < options.h_0.size(); ++i) options.h_0[i] = static_cast<float>(i) / 50.0f;
  std::vector<float> state = options.h_0;
  session_ = Open(options);
  EXPECT_EQ(State(), state);
  const std::vector<float> input = Input(2, 3);
  const std::vector<float> whole = demo().RunAlone(3, input, &state);
  std::vector<float> output = Run(*session_, StepOp({input.begin(), input.begin() + 9}), sink_).output;
  const auto second = Run(*session_, StepOp({input.begin() + 9, input.end()}), sink_).output;
  output.insert(output.end(), second.begin(), second.end());
  EXPECT_EQ(output, whole);
  EXPECT_EQ(State(), state);
}

TEST_F(SessionTest, ABatchWiderThanABucketStepsAndFailsWhole) {
  OpenSessionOptions options = Options("wide", sink_);
  options.batch_size = 70;
  session_ = Open(options);
  std::vector<float> state;
  std::vector<float> input = Input(1, 70);
  executor_.FailNext(absl::InternalError("boom"));
  EXPECT_FALSE(Run(*session_, StepOp(input), sink_).status.ok());
  EXPECT_EQ(State(), std::vector<float>(2 * 70 * 5));
  EXPECT_EQ(Run(*session_, StepOp(input, 1, 1), sink_).output, demo().RunAlone(70, input, &state));
  EXPECT_EQ(State(), state);
}

TEST_F(SessionTest, OneOperationRunsAtATimeAndResultsComeInOrder) {
  for (int i = 0; i < 3; ++i) session_->Submit(StepOp(Input()), sink_);
  session_->Submit(SetStateOp(), sink_);
  EXPECT_EQ(executor_.waiting(), 1u);
  EXPECT_THAT(sink_->results(), IsEmpty());
  EXPECT_EQ(executor_.RunAll(), 3);
  EXPECT_THAT(Indexes(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(sink_->last().expected_step, 5);
}

TEST_F(SessionTest, TheSinksTagAndFormComeBack) {
  SessionOp op = StepOp(Input());
  op.tag = 11;
  op.form = 22;
  Run(*session_, std::move(op), sink_);
  EXPECT_EQ(sink_->ops().back().tag, 11u);
  EXPECT_EQ(sink_->ops().back().form, 22u);
}

TEST_F(SessionTest, AStepReturnsTheStateWhereAsked) {
  std::vector<float> state;
  SessionOp op = StepOp(Input(2), 2);
  op.return_state = true;
  demo().RunAlone(1, op.values, &state);
  EXPECT_EQ(Run(*session_, op, sink_).state, state);
  EXPECT_THAT(Run(*session_, StepOp(Input()), sink_).state, IsEmpty());
}

TEST_F(SessionTest, SetStateReplacesResetsAndTakesAPlaceInTheLog) {
  std::vector<float> state(10, 0.25f);
  SessionOp set = SetStateOp(state);
  set.return_state = true;
  EXPECT_EQ(Run(*session_, set, sink_).state, state);
  EXPECT_EQ(sink_->last().index, 1);
  const std::vector<float> input = Input();
  EXPECT_EQ(Run(*session_, StepOp(input, 1, 2), sink_).output, demo().RunAlone(1, input, &state));
  EXPECT_EQ(Run(*session_, SetStateOp({}, 3), sink_).expected_step, 4);
  EXPECT_EQ(State(), std::vector<float>(10));
}

TEST_F(SessionTest, AChunkOfTPlacesIsNamedByItsFirst) {
  EXPECT_EQ(Run(*session_, StepOp(Input(4), 4, 1), sink_).index, 1);
  EXPECT_EQ(sink_->last().expected_step, 5);
  EXPECT_EQ(sink_->last().output.size(), 4u * 5u);
}

TEST_F(SessionTest, AnAppliedIndexIsOutOfRangeAndMovesNothing) {
  Run(*session_, StepOp(Input(3), 3), sink_);
  const std::vector<float> state = State();
  ExpectError(Run(*session_, StepOp(Input(), 1, 2), sink_), absl::StatusCode::kOutOfRange,
              SessionErrorReason::kIndex, 4);
  ExpectError(Run(*session_, StepOp(Input(2), 2, 3), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kIndex, 4);
  ExpectError(Run(*session_, StepOp(Input(), 1, 9), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kIndex, 4);
  EXPECT_EQ(State(), state);
}

TEST_F(SessionTest, AFailedStepLeavesTheStateAndRaisesTheBarrier) {
  Run(*session_, StepOp(Input()), sink_);
  const std::vector<float> state = State();
  executor_.FailNext(absl::InternalError("boom"));
  session_->Submit(StepOp(Input()), sink_);
  session_->Submit(StepOp(Input()), sink_);
  executor_.RunAll();
  EXPECT_EQ(sink_->results()[1].index, 2);
  ExpectError(sink_->results()[1], absl::StatusCode::kInternal, SessionErrorReason::kNone, 2, "boom");
  ExpectError(sink_->results()[2], absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 2);
  EXPECT_EQ(State(), state);
  EXPECT_TRUE(Run(*session_, StepOp(Input(), 1, 2), sink_).status.ok());
  EXPECT_TRUE(Run(*session_, StepOp(Input()), sink_).status.ok());
}

TEST_F(SessionTest, AFailedChunkLeavesTheState) {
  Run(*session_, StepOp(Input(2), 2), sink_);
  const std::vector<float> state = State();
  executor_.FailNext(absl::InternalError("boom"));
  ExpectError(Run(*session_, StepOp(Input(5), 5), sink_), absl::StatusCode::kInternal,
              SessionErrorReason::kNone, 3);
  EXPECT_EQ(State(), state);
}

TEST_F(SessionTest, ADeadlineThatPassedInTheQueueLeavesTheState) {
  for (const int64_t time_steps : {1, 3}) {
    SessionOp op = StepOp(Input(time_steps), time_steps, 1);
    op.deadline = clock_.Now() + absl::Milliseconds(5);
    session_->Submit(op, sink_);
    clock_.Advance(absl::Milliseconds(6));
    executor_.RunAll();
    ExpectError(sink_->last(), absl::StatusCode::kDeadlineExceeded, SessionErrorReason::kNone, 1);
  }
  SessionOp set = SetStateOp(std::vector<float>(10, 1.0f));
  set.deadline = clock_.Now() - absl::Milliseconds(1);
  ExpectError(Run(*session_, set, sink_), absl::StatusCode::kDeadlineExceeded, SessionErrorReason::kNone, 1);
  EXPECT_EQ(State(), std::vector<float>(10));
}

TEST_F(SessionTest, ADeadlineAheadLetsTheStepRun) {
  SessionOp op = StepOp(Input());
  op.deadline = clock_.Now() + absl::Milliseconds(5);
  EXPECT_TRUE(Run(*session_, op, sink_).status.ok());
}

TEST_F(SessionTest, AnOperationThatTheDecoderRefusedTakesItsTurn) {
  SessionOp bad = StepOp({});
  bad.refused = absl::InvalidArgumentError("input.shape[0] is 12, model \"demo\" version 1 expects 3");
  session_->Submit(StepOp(Input()), sink_);
  session_->Submit(bad, sink_);
  session_->Submit(StepOp(Input()), sink_);
  EXPECT_THAT(sink_->results(), IsEmpty());
  executor_.RunAll();
  EXPECT_TRUE(sink_->results()[0].status.ok());
  ExpectError(sink_->results()[1], absl::StatusCode::kInvalidArgument, SessionErrorReason::kNone, 2,
              "input.shape[0]");
  ExpectError(sink_->results()[2], absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 2);
}

TEST_F(SessionTest, ValuesOfTheWrongSizeAreInvalidArgument) {
  ExpectError(Run(*session_, StepOp({1, 2}), sink_), absl::StatusCode::kInvalidArgument,
              SessionErrorReason::kNone, 1, "input has 2 values");
  ExpectError(Run(*session_, StepOp(Input(2), 3, 1), sink_), absl::StatusCode::kInvalidArgument,
              SessionErrorReason::kNone, 1);
  ExpectError(Run(*session_, StepOp({}, 0, 1), sink_), absl::StatusCode::kInvalidArgument,
              SessionErrorReason::kNone, 1);
  ExpectError(Run(*session_, SetStateOp({1}), sink_), absl::StatusCode::kInvalidArgument,
              SessionErrorReason::kNone, 1, "state has 1 values");
}

TEST_F(SessionTest, BeyondItsCreditsASessionIsRefusedAtOnce) {
  for (int i = 0; i < 6; ++i) session_->Submit(StepOp(Input(), 1, i + 1), sink_);
  ASSERT_EQ(sink_->results().size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    ExpectError(sink_->results()[i], absl::StatusCode::kResourceExhausted, SessionErrorReason::kCredits, 5,
                "max_inflight = 4");
    EXPECT_GT(sink_->results()[i].retry_after_ms, 0);
  }
  executor_.RunAll();
  ASSERT_EQ(sink_->results().size(), 6u);
  for (size_t i = 2; i < 6; ++i) EXPECT_TRUE(sink_->results()[i].status.ok());
  ExpectError(Run(*session_, StepOp(Input()), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kBarrier, 5);
  EXPECT_TRUE(Run(*session_, StepOp(Input(), 1, 5), sink_).status.ok());
  EXPECT_TRUE(Run(*session_, StepOp(Input()), sink_).status.ok());
}

TEST_F(SessionTest, AfterARefusalForCreditsOnlyTheNamedStepGoesOn) {
  for (int i = 0; i < 5; ++i) session_->Submit(StepOp(Input()), sink_);
  ExpectError(sink_->last(), absl::StatusCode::kResourceExhausted, SessionErrorReason::kCredits, 5);
  executor_.RunOne();
  session_->Submit(StepOp(Input()), sink_);
  ExpectError(sink_->last(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 5);
  session_->Submit(StepOp(Input(), 1, 5), sink_);
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  EXPECT_EQ(session_->Describe().next_step, 6);
}

TEST_F(SessionTest, CloseNeedsNoCredit) {
  for (int i = 0; i < 4; ++i) session_->Submit(StepOp(Input()), sink_);
  session_->Submit(CloseOp(), sink_);
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  EXPECT_EQ(table_->counters().live, 0);
}

TEST_F(SessionTest, AFloodBeyondTheCreditsKeepsNothing) {
  for (int i = 0; i < 10000; ++i) session_->Submit(StepOp(Input()), sink_);
  EXPECT_EQ(sink_->results().size(), 9996u);
  EXPECT_EQ(executor_.waiting(), 1u);
  executor_.RunAll();
  EXPECT_EQ(sink_->results().size(), 10000u);
  EXPECT_EQ(session_->Describe().next_step, 5);
}

TEST_F(SessionTest, AnExecutorThatIsFullRefusesTheStep) {
  executor_.RefuseNext(absl::ResourceExhaustedError("the server's queue is full"));
  ExpectError(Run(*session_, StepOp(Input()), sink_), absl::StatusCode::kResourceExhausted,
              SessionErrorReason::kNone, 1, "queue is full");
  EXPECT_GT(sink_->last().retry_after_ms, 0);
  executor_.RefuseNext(absl::UnavailableError("the server is shutting down"));
  ExpectError(Run(*session_, StepOp(Input(3), 3, 1), sink_), absl::StatusCode::kUnavailable,
              SessionErrorReason::kDraining, 1);
  EXPECT_TRUE(Run(*session_, StepOp(Input(), 1, 1), sink_).status.ok());
}

TEST_F(SessionTest, CloseDrainsThenFreesAndAnswersWhatComesLater) {
  session_->Submit(StepOp(Input()), sink_);
  session_->Submit(CloseOp(), sink_);
  session_->Submit(StepOp(Input()), sink_);
  EXPECT_EQ(table_->counters().live, 1);
  executor_.RunAll();
  EXPECT_TRUE(sink_->results()[0].status.ok());
  EXPECT_TRUE(sink_->results()[1].status.ok());
  ExpectError(sink_->results()[2], absl::StatusCode::kNotFound, SessionErrorReason::kNone, 2, "was closed");
  EXPECT_EQ(table_->counters().live, 0);
  EXPECT_EQ(table_->counters().memory_bytes, 0);
  EXPECT_EQ(table_->counters().closed, 1);
  EXPECT_THAT(State(), IsEmpty());
}

TEST_F(SessionTest, TheSessionIsGoneBeforeItsCloseIsAnswered) {
  std::optional<int64_t> live;
  const auto closer = std::make_shared<RecordingSink>(
      [&](const SessionOp&, const SessionOpResult&) { live = table_->counters().live; });
  OpenSessionOptions options = Options("b", closer);
  session_->Submit(CloseOp(), sink_);
  Open(options)->Submit(CloseOp(), closer);
  EXPECT_EQ(live, 0);
}

TEST_F(SessionTest, ASinkMaySubmitFromItsResult) {
  int left = 5;
  std::shared_ptr<RecordingSink> chain;
  chain = std::make_shared<RecordingSink>([&](const SessionOp&, const SessionOpResult& result) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    if (--left > 0) session_->Submit(StepOp(Input()), chain);
  });
  session_ = Open("b", chain);
  session_->Submit(StepOp(Input()), chain);
  executor_.RunAll();
  EXPECT_EQ(left, 0);
  EXPECT_EQ(session_->Describe().next_step, 6);
  chain.reset();
}

TEST_F(SessionTest, WhatIsQueuedOutlivesStreamAndTable) {
  session_->Submit(StepOp(Input()), sink_);
  session_->Submit(CloseOp(), sink_);
  table_->DetachAll(sink_.get());
  table_.reset();
  session_.reset();
  executor_.RunAll();
  EXPECT_EQ(sink_->results().size(), 2u);
  EXPECT_TRUE(sink_->last().status.ok());
}

TEST_F(SessionTest, DescribeSaysWhatItIs) {
  Run(*session_, StepOp(Input(3), 3), sink_);
  clock_.Advance(absl::Seconds(2));
  const SessionDescription description = session_->Describe();
  EXPECT_EQ(description.id, "a");
  EXPECT_EQ(description.model_name, "demo");
  EXPECT_EQ(description.model_version, 1);
  EXPECT_EQ(description.batch_size, 0);
  EXPECT_EQ(description.epoch, 1u);
  EXPECT_EQ(description.next_step, 4);
  EXPECT_EQ(description.max_inflight, 4);
  EXPECT_TRUE(description.attached);
  EXPECT_EQ(description.memory_bytes, table_->counters().memory_bytes);
  EXPECT_EQ(description.idle, absl::Seconds(2));
  session_->Submit(StepOp(Input()), sink_);
  EXPECT_EQ(session_->Describe().idle, absl::ZeroDuration());
}

TEST_F(SessionTest, ANanStaysInItsSession) {
  const auto canary = Open("canary", sink_);
  Run(*session_, StepOp({NAN, INFINITY, 0.0f}), sink_);
  std::vector<float> state;
  const std::vector<float> input = Input();
  EXPECT_EQ(Run(*canary, StepOp(input), sink_).output, demo().RunAlone(1, input, &state));
}

}  // namespace
}  // namespace gruserve

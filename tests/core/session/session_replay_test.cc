// Operations that come again: answered from memory, and never run twice.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/session/session_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class SessionReplayTest : public SessionFixture {
 protected:
  std::shared_ptr<Session> OpenRemembering(int64_t remember_steps, const std::string& id = "a") {
    OpenSessionOptions options = Options(id, sink_);
    options.remember_steps = remember_steps;
    return Open(options);
  }
  std::vector<float> StateOf(Session& session) {
    std::vector<float> state;
    session.ReadState(
        [&](const SessionDescription&, std::vector<float> values) { state = std::move(values); });
    executor_.RunAll();
    return state;
  }
  void ExpectReplay(Session& session, const SessionOp& op, const SessionOpResult& first) {
    const std::vector<float> state = StateOf(session);
    const int64_t next = session.Describe().next_step;
    const SessionOpResult again = Run(session, op, sink_);
    EXPECT_TRUE(again.status.ok()) << again.status;
    EXPECT_TRUE(again.replayed);
    EXPECT_EQ(again.index, first.index);
    EXPECT_EQ(again.expected_step, next);
    EXPECT_THAT(again.output, ElementsAreArray(first.output));
    EXPECT_THAT(again.state, ElementsAreArray(first.state));
    EXPECT_EQ(session.Describe().next_step, next);
    EXPECT_THAT(StateOf(session), ElementsAreArray(state));
  }
};

TEST_F(SessionReplayTest, AStepThatComesAgainIsAnsweredAndNotRun) {
  const auto session = OpenRemembering(4);
  const std::vector<float> input = Input();
  const SessionOpResult first = Run(*session, StepOp(input, 1, 1), sink_);
  EXPECT_FALSE(first.replayed);
  ExpectReplay(*session, StepOp(input, 1, 1), first);
  Run(*session, StepOp(Input()), sink_);
  ExpectReplay(*session, StepOp(input, 1, 1), first);
  EXPECT_EQ(Run(*session, StepOp(Input()), sink_).index, 3);
}

TEST_F(SessionReplayTest, OnlyTheLastOnesAreRemembered) {
  const auto session = OpenRemembering(2);
  std::vector<SessionOpResult> results;
  for (int i = 0; i < 5; ++i) results.push_back(Run(*session, StepOp(Input()), sink_));
  ExpectReplay(*session, StepOp(Input(), 1, 4), results[3]);
  ExpectReplay(*session, StepOp(Input(), 1, 5), results[4]);
  ExpectError(Run(*session, StepOp(Input(), 1, 3), sink_), absl::StatusCode::kOutOfRange,
              SessionErrorReason::kIndex, 6, "responses are remembered from 4 on");
}

TEST_F(SessionReplayTest, ChunksComeAgainAsChunksOrStepByStep) {
  const auto session = OpenRemembering(8);
  const SessionOpResult step = Run(*session, StepOp(Input()), sink_);
  const SessionOpResult chunk = Run(*session, StepOp(Input(3), 3), sink_);
  ExpectReplay(*session, StepOp(Input(3), 3, 2), chunk);
  const size_t width = chunk.output.size() / 3;
  for (int64_t i = 0; i < 3; ++i) {
    SessionOpResult part = chunk;
    part.index = 2 + i;
    const auto begin = chunk.output.begin() + static_cast<std::ptrdiff_t>(width) * i;
    part.output.assign(begin, begin + static_cast<std::ptrdiff_t>(width));
    ExpectReplay(*session, StepOp(Input(), 1, 2 + i), part);
  }
  SessionOpResult all = chunk;
  all.index = 1;
  all.output.insert(all.output.begin(), step.output.begin(), step.output.end());
  ExpectReplay(*session, StepOp(Input(4), 4, 1), all);
  ExpectError(Run(*session, StepOp(Input(3), 3, 4), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kIndex, 5, "of which some are applied");
}

TEST_F(SessionReplayTest, AChunkLongerThanTheMemoryLeavesItsEnd) {
  const auto session = OpenRemembering(2);
  const SessionOpResult chunk = Run(*session, StepOp(Input(5), 5), sink_);
  SessionOpResult last = chunk;
  last.index = 5;
  last.output.erase(last.output.begin(),
                    last.output.end() - static_cast<std::ptrdiff_t>(chunk.output.size() / 5));
  ExpectReplay(*session, StepOp(Input(), 1, 5), last);
  ExpectError(Run(*session, StepOp(Input(5), 5, 1), sink_), absl::StatusCode::kOutOfRange,
              SessionErrorReason::kIndex, 6, "index is 1, already applied");
}

TEST_F(SessionReplayTest, SettingTheStateIsInTheLogToo) {
  const auto session = OpenRemembering(4);
  Run(*session, StepOp(Input()), sink_);
  const SessionOpResult set = Run(*session, SetStateOp(), sink_);
  EXPECT_EQ(set.index, 2);
  Run(*session, StepOp(Input()), sink_);
  ExpectReplay(*session, SetStateOp({}, 2), set);
  ExpectError(Run(*session, StepOp(Input(), 1, 2), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kIndex, 4, "index is 2, where a state set was applied");
  ExpectError(Run(*session, SetStateOp({}, 1), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kIndex, 4, "index is 1, where a step was applied");
}

TEST_F(SessionReplayTest, StatesAreRememberedWhereTheyWereAskedFor) {
  const auto session = OpenRemembering(4);
  SessionOp asking = StepOp(Input(2), 2, 1);
  asking.return_state = true;
  const SessionOpResult first = Run(*session, asking, sink_);
  Run(*session, StepOp(Input()), sink_);
  ExpectReplay(*session, asking, first);
  SessionOp earlier = StepOp(Input(), 1, 1);
  earlier.return_state = true;
  ExpectError(Run(*session, earlier, sink_), absl::StatusCode::kOutOfRange, SessionErrorReason::kIndex, 4,
              "the state after step 1 is not remembered");
}

TEST_F(SessionReplayTest, ADuplicateBehindItsOriginalWaitsForIt) {
  const auto session = OpenRemembering(4);
  const std::vector<float> input = Input();
  session->Submit(StepOp(input, 1, 1), sink_);
  session->Submit(StepOp(input, 1, 1), sink_);
  session->Submit(StepOp(Input()), sink_);
  executor_.RunAll();
  ASSERT_EQ(sink_->results().size(), 3u);
  EXPECT_FALSE(sink_->results()[0].replayed);
  EXPECT_TRUE(sink_->results()[1].replayed);
  EXPECT_THAT(sink_->results()[1].output, ElementsAreArray(sink_->results()[0].output));
  EXPECT_EQ(sink_->results()[2].index, 2);
}

TEST_F(SessionReplayTest, ADuplicateMakesNoFailedStepGood) {
  const auto session = OpenRemembering(4);
  const std::vector<float> input = Input();
  Run(*session, StepOp(input), sink_);
  executor_.FailNext(absl::InternalError("spoilt"));
  Run(*session, StepOp(Input()), sink_);
  EXPECT_TRUE(Run(*session, StepOp(input, 1, 1), sink_).replayed);
  ExpectError(Run(*session, StepOp(Input()), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kBarrier, 2, "send step 2");
  EXPECT_EQ(Run(*session, StepOp(Input(), 1, 2), sink_).index, 2);
}

TEST_F(SessionReplayTest, ADuplicateMakesNoStepWithoutCreditGood) {
  MakeTable({.max_inflight = 2});
  const auto session = OpenRemembering(4);
  const std::vector<float> input = Input();
  Run(*session, StepOp(input), sink_);
  for (int i = 0; i < 3; ++i) session->Submit(StepOp(Input()), sink_);  // The third has no credit.
  executor_.RunAll();
  EXPECT_TRUE(Run(*session, StepOp(input, 1, 1), sink_).replayed);
  ExpectError(Run(*session, StepOp(Input()), sink_), absl::StatusCode::kFailedPrecondition,
              SessionErrorReason::kBarrier, 4, "send step 4");
}

TEST_F(SessionReplayTest, AFailedStepIsNotRemembered) {
  const auto session = OpenRemembering(4);
  executor_.FailNext(absl::InternalError("spoilt"));
  Run(*session, StepOp(Input()), sink_);
  const SessionOpResult again = Run(*session, StepOp(Input(), 1, 1), sink_);
  EXPECT_TRUE(again.status.ok());
  EXPECT_FALSE(again.replayed);
}

TEST_F(SessionReplayTest, WithoutMemoryADuplicateIsOutOfRange) {
  const auto session = Open("a", sink_);
  Run(*session, StepOp(Input()), sink_);
  ExpectError(Run(*session, StepOp(Input(), 1, 1), sink_), absl::StatusCode::kOutOfRange,
              SessionErrorReason::kIndex, 2, "no response is remembered");
}

TEST_F(SessionReplayTest, MemoryOutlivesTheStream) {
  const auto session = OpenRemembering(4);
  const std::vector<float> input = Input();
  const SessionOpResult first = Run(*session, StepOp(input, 1, 1), sink_);
  table_->DetachAll(sink_.get());
  const auto resumed = Open(Options("a", sink_, OpenMode::kResume));
  EXPECT_EQ(resumed->Describe().remember_steps, 4);
  ExpectReplay(*resumed, StepOp(input, 1, 1), first);
}

TEST_F(SessionReplayTest, IsChargedAndBounded) {
  const auto plain = Open("plain", sink_);
  const auto remembering = OpenRemembering(64);
  const int64_t output = demo().config().output_size() * int64_t{sizeof(float)};
  EXPECT_GE(remembering->memory_bytes(), plain->memory_bytes() + 64 * output);
  EXPECT_EQ(table_->counters().memory_bytes, plain->memory_bytes() + remembering->memory_bytes());
  Run(*remembering, CloseOp(), sink_);
  EXPECT_EQ(table_->counters().memory_bytes, plain->memory_bytes());
  for (const int64_t wrong : {int64_t{-1}, int64_t{65}}) {
    OpenSessionOptions options = Options("b", sink_);
    options.remember_steps = wrong;
    EXPECT_THAT(OpenError(options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 to 64 are wanted")));
  }
  table_->DetachAll(sink_.get());
  OpenSessionOptions other = Options("plain", sink_, OpenMode::kResume);
  other.remember_steps = 3;
  EXPECT_THAT(OpenError(other), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"plain\" has 0")));
}

}  // namespace
}  // namespace gruserve

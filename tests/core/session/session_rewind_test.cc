// Rewinds: states that a session keeps, and goes back to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/session/kept_states.h"
#include "tests/support/session_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(KeptStatesTest, KeepsTheLastOnes) {
  KeptStates kept(2);
  EXPECT_THAT(kept.Find(0).status(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("rewind_to is 0")));
  kept.Add(0, {1});
  kept.Add(4, {2});
  EXPECT_EQ(**kept.Find(0), std::vector<float>({1}));
  kept.Add(5, {3});
  EXPECT_EQ(**kept.Find(4), std::vector<float>({2}));
  EXPECT_THAT(kept.Find(0).status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("states are kept after steps 4, 5")));
  KeptStates copy(1);
  copy.Set(kept.Get());
  EXPECT_THAT(copy.Get(), SizeIs(1));
  EXPECT_EQ(**copy.Find(5), std::vector<float>({3}));
}

TEST(KeptStatesTest, TooManyToCountIsTheLargestNumber) {
  EXPECT_EQ(KeptStates::Bytes(2, 10), 2 * (40 + 64));
  EXPECT_EQ(KeptStates::Bytes(64, INT64_MAX / 2), INT64_MAX);
}

class SessionRewindTest : public SessionFixture {
 protected:
  std::shared_ptr<Session> Keeping(int64_t keep_states, int64_t remember_steps = 0) {
    OpenSessionOptions options = Options("a", sink_);
    options.keep_states = keep_states;
    options.remember_steps = remember_steps;
    return table_->Open(options).value();
  }
  // Runs `op`, which must go well.
  SessionOpResult Run(Session& session, SessionOp op) {
    session.Submit(std::move(op), sink_);
    executor_.RunAll();
    EXPECT_TRUE(sink_->last().status.ok()) << sink_->last().status;
    return sink_->last();
  }
  absl::Status Refused(Session& session, SessionOp op) {
    session.Submit(std::move(op), sink_);
    executor_.RunAll();
    return sink_->last().status;
  }
  // What a session answers to `inputs` [T, 3] from the first state on, in its last step.
  static std::vector<float> Alone(const std::vector<float>& inputs) {
    std::vector<float> state;
    const std::vector<float> outputs = demo().RunAlone(1, inputs, &state);
    return {outputs.end() - 5, outputs.end()};
  }

  const std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
};

TEST_F(SessionRewindTest, GoesOnFromTheStateThatWasThere) {
  const auto session = Keeping(8);
  Run(*session, StepOp({1, 0, 0}));
  Run(*session, StepOp({0, 1, 0, 0, 0, 1}, 2));  // Ends at place 3.
  const SessionOpResult rewound = Run(*session, RewindOp(1));
  EXPECT_EQ(rewound.index, 4);
  EXPECT_EQ(rewound.expected_step, 5);
  EXPECT_EQ(Run(*session, StepOp({2, 2, 2})).output, Alone({1, 0, 0, 2, 2, 2}));
  Run(*session, RewindOp(3));
  EXPECT_EQ(Run(*session, StepOp({3, 3, 3})).output, Alone({1, 0, 0, 0, 1, 0, 0, 0, 1, 3, 3, 3}));
  Run(*session, RewindOp(0));
  EXPECT_EQ(Run(*session, StepOp({4, 4, 4})).output, Alone({4, 4, 4}));
  // The state after a rewind is one to go back to as well.
  Run(*session, RewindOp(4));
  EXPECT_EQ(Run(*session, StepOp({5, 5, 5})).output, Alone({1, 0, 0, 5, 5, 5}));
}

TEST_F(SessionRewindTest, WhatIsNotKeptIsRefusedAndTakesNoPlace) {
  const auto session = Keeping(2);
  for (int i = 0; i < 3; ++i) Run(*session, StepOp({1, 0, 0}));
  EXPECT_THAT(
      Refused(*session, RewindOp(1)),
      StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("rewind_to is 1, states are kept after steps 2, 3")));
  EXPECT_THAT(Refused(*session, RewindOp(4, 4)), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("is 4")));
  EXPECT_EQ(Run(*session, RewindOp(2, 4)).index, 4);
}

TEST_F(SessionRewindTest, ARewindThatComesAgainDoesNotRunAgain) {
  const auto session = Keeping(8, /*remember_steps=*/8);
  Run(*session, StepOp({1, 0, 0}, 1, 1));
  Run(*session, StepOp({0, 1, 0}, 1, 2));
  Run(*session, RewindOp(1, 3));
  Run(*session, StepOp({2, 2, 2}, 1, 4));
  EXPECT_TRUE(Run(*session, RewindOp(1, 3)).replayed);
  EXPECT_EQ(Run(*session, StepOp({3, 3, 3}, 1, 5)).output, Alone({1, 0, 0, 2, 2, 2, 3, 3, 3}));
}

TEST_F(SessionRewindTest, WithoutKeptStatesThereIsNoWayBack) {
  const auto session = Keeping(0);
  EXPECT_THAT(Refused(*session, RewindOp(0)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("open it with keep_states")));
}

TEST_F(SessionRewindTest, KeptStatesAreChargedAndBounded) {
  EXPECT_EQ(Keeping(8)->memory_bytes(),
            Session::MemoryBytes(*demo().handle(), 1) + KeptStates::Bytes(8, demo().config().state_size()));
  OpenSessionOptions options = Options("b", sink_);
  for (const int64_t wrong : {int64_t{-1}, int64_t{65}}) {
    options.keep_states = wrong;
    EXPECT_THAT(table_->Open(options).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("keep_states is " + std::to_string(wrong) + ", 0 to 64 are wanted")));
  }
  options = Options("a", sink_);
  options.mode = OpenMode::kResume;
  options.keep_states = 3;
  EXPECT_THAT(table_->Open(options).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                                       HasSubstr("keep_states is 3, session \"a\" has 8")));
}

}  // namespace
}  // namespace gruserve

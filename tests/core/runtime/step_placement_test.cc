#include "core/runtime/step_placement.h"

#include <gtest/gtest.h>

#include <array>

namespace gruserve {
namespace {

class StepPlacementTest : public ::testing::Test {
 protected:
  static constexpr absl::Duration kLimit = absl::Microseconds(300);

  // A round of `rows` of the session `state`, a microsecond after the last one, on an idle server.
  StepPlacement::Round Round(const float* state, int64_t rows, bool nothing_waited = true) {
    time_ += absl::Microseconds(1);
    return {.costs = costs_,
            .state = state,
            .time = time_,
            .rows = rows,
            .nothing_waited = nothing_waited,
            .may_run = true,
            .idle = true};
  }

  // Bound by memory: a row alone costs a third of sixteen.
  const StepCosts costs_{{{1, absl::Microseconds(60)},
                          {4, absl::Microseconds(100)},
                          {16, absl::Microseconds(180)},
                          {64, absl::Microseconds(400)}}};
  absl::Time time_ = absl::UnixEpoch();
  std::array<float, 100> states_{};
  StepPlacement placement_{{.at_once = kLimit, .gathered = absl::Microseconds(150)}};
};

TEST_F(StepPlacementTest, TheFirstRunsAtOnceAndSoDoesALoneSession) {
  EXPECT_EQ(placement_.Choose(Round(&states_[0], 1)), RunPlace::kCaller);
  EXPECT_EQ(placement_.Choose(Round(&states_[0], 1)), RunPlace::kCaller);
}

TEST_F(StepPlacementTest, OthersThatFollowAreGathered) {
  placement_.Choose(Round(&states_[0], 1));
  EXPECT_EQ(placement_.Choose(Round(&states_[1], 1)), RunPlace::kCallerBack);
  EXPECT_EQ(placement_.Choose(Round(&states_[2], 2, /*nothing_waited=*/false)), RunPlace::kCallerBack);
}

TEST_F(StepPlacementTest, AfterAQuietWhileAnyRunsAtOnce) {
  placement_.Choose(Round(&states_[0], 1));
  time_ += absl::Milliseconds(1);
  EXPECT_EQ(placement_.Choose(Round(&states_[1], 1)), RunPlace::kCaller);
}

// Sixteen sessions that all wait for one batch, and come again when they have its answer.
TEST_F(StepPlacementTest, TheFirstOfABurstIsGathered) {
  for (int burst = 0; burst < 2; ++burst) {
    time_ += absl::Microseconds(500);
    for (int i = 0; i < 16; ++i) {
      const RunPlace place =
          placement_.Choose(Round(&states_[static_cast<size_t>(i)], 1, /*nothing_waited=*/i == 0));
      if (burst > 0) {
        EXPECT_EQ(place, RunPlace::kCallerBack) << i;
      }
    }
  }
}

// A round that others wait for counts as one that came.
TEST_F(StepPlacementTest, WhatIsGatheredIsNotQuiet) {
  for (int i = 0; i < 4; ++i) {
    time_ += absl::Microseconds(300);
    placement_.Choose(Round(&states_[static_cast<size_t>(i)], 1, /*nothing_waited=*/i == 0));
  }
  EXPECT_EQ(placement_.Choose(Round(&states_[5], 1)), RunPlace::kCallerBack);
}

TEST_F(StepPlacementTest, WhatIsDearTogetherIsGatheredForAWorkerUntilItIsWorthOne) {
  ASSERT_EQ(costs_.worthwhile_rows(), 64);
  placement_.Choose(Round(&states_[0], 1));
  EXPECT_EQ(placement_.Choose(Round(&states_[1], 16, /*nothing_waited=*/false)), RunPlace::kCallerBack);
  EXPECT_EQ(placement_.Choose(Round(&states_[2], 64, /*nothing_waited=*/false)), RunPlace::kWorker);
  EXPECT_FALSE(placement_.IsForCaller(costs_.Of(16)));
  EXPECT_TRUE(placement_.IsForCaller(costs_.Of(4)));
}

TEST_F(StepPlacementTest, ABatchThatComesWholeIsForAWorker) {
  StepPlacement placement({.at_once = kLimit, .gathered = absl::Milliseconds(1)});
  placement.Choose(Round(&states_[0], 1));
  EXPECT_EQ(placement.Choose(Round(&states_[1], 64, /*nothing_waited=*/false)), RunPlace::kCallerBack);
  EXPECT_EQ(placement.Choose(Round(&states_[2], 64)), RunPlace::kWorker);
  EXPECT_EQ(placement.Choose(Round(&states_[3], 16)), RunPlace::kCallerBack);
}

TEST_F(StepPlacementTest, MoreThanABatchOrOtherWorkIsForAWorker) {
  placement_.Choose(Round(&states_[0], 1));
  EXPECT_EQ(placement_.Choose(Round(&states_[1], 65)), RunPlace::kWorker);
  StepPlacement::Round round = Round(&states_[2], 0);
  EXPECT_EQ(placement_.Choose(round), RunPlace::kWorker) << "of several models";
  round.rows = 1;
  round.state = &states_[3];
  round.idle = false;
  EXPECT_EQ(placement_.Choose(round), RunPlace::kWorker) << "beside other work";
  round.state = &states_[4];
  round.idle = true;
  round.may_run = false;
  EXPECT_EQ(placement_.Choose(round), RunPlace::kWorker) << "no slot";
}

TEST_F(StepPlacementTest, WhereNobodyComesBackWorkersTakeThem) {
  StepPlacement placement({.at_once = kLimit});
  placement.Choose(Round(&states_[0], 1));
  EXPECT_EQ(placement.Choose(Round(&states_[1], 1)), RunPlace::kWorker);
}

TEST_F(StepPlacementTest, ALoneStepTooDearForOneThreadIsForTwoWorkersWhereTheyAreIdle) {
  StepPlacement placement({.at_once = absl::Microseconds(50)});
  StepPlacement::Round round = Round(&states_[0], 1);
  round.shareable = true;
  placement.Choose(round);
  EXPECT_EQ(placement.Choose(round), RunPlace::kWorkers);
  round.rows = 2;
  EXPECT_EQ(placement.Choose(round), RunPlace::kWorker);
  round.rows = 1;
  round.idle = false;
  EXPECT_EQ(placement.Choose(round), RunPlace::kWorker);
  round.idle = true;
  round.state = &states_[1];
  EXPECT_EQ(placement.Choose(round), RunPlace::kWorker) << "one of several sessions";
}

TEST_F(StepPlacementTest, ASequenceWaitsForOthersWhereItIsWorthIt) {
  EXPECT_EQ(placement_.ChooseForSequence(absl::Microseconds(20)), RunPlace::kCaller);
  EXPECT_EQ(placement_.ChooseForSequence(absl::Microseconds(200)), RunPlace::kCallerBack);
  EXPECT_EQ(placement_.ChooseForSequence(absl::Microseconds(301)), RunPlace::kWorker);
  const StepPlacement nobody({.at_once = kLimit});
  EXPECT_EQ(nobody.ChooseForSequence(absl::Microseconds(200)), RunPlace::kCaller);
}

TEST_F(StepPlacementTest, BeyondTheLimitALoneSessionsStepsGoToAWorker) {
  StepPlacement placement({.at_once = absl::Microseconds(50), .gathered = absl::Microseconds(150)});
  const StepCosts dear({{1, absl::Microseconds(600)}, {64, absl::Microseconds(4000)}});
  StepPlacement::Round round{.costs = dear, .state = states_.data(), .time = time_, .rows = 1};
  round.nothing_waited = round.may_run = round.idle = true;
  placement.Choose(round);
  EXPECT_EQ(placement.Choose(round), RunPlace::kWorker);
}

}  // namespace
}  // namespace gruserve

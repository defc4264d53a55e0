// Lone steps of large weights, which two workers share as a sequence of one step.

#include <gtest/gtest.h>

#include <latch>
#include <numeric>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "tests/core/runtime/compute_pool_fixture.h"

namespace gruserve {
namespace {

const LoadedRandomModel& Large() {
  static const auto* const model =
      new LoadedRandomModel(3, {.input_size = 1024, .hidden_size = 1024}, /*num_workers=*/2, "large");
  return *model;
}

class SharedStepTest : public ComputePoolTest {
 protected:
  void SetUp() override {
    if (!Large().handle()->shares_lone_step()) GTEST_SKIP() << "other bits by columns with this library";
    Start(/*workers=*/2);  // Nothing in place.
  }

  static std::vector<float> Input() {
    std::vector<float> input(1024);
    std::iota(input.begin(), input.end(), -512.0F);
    for (float& value : input) value /= 512;
    return input;
  }
};

TEST_F(SharedStepTest, ItsStepsHaveTheBitsOfOneWorker) {
  std::vector<float> state(1024);
  std::vector<float> input = Input();
  for (int i = 0; i < 20; ++i) {
    std::latch done(1);
    OneStep step(Large(), &done, input);
    step.state = state;
    ASSERT_TRUE(pool_->SubmitStep(&step).ok());
    done.wait();
    ASSERT_TRUE(step.status.ok()) << step.status;
    EXPECT_EQ(step.calls, 1);
    EXPECT_EQ(step.output, Large().RunAlone(1, input, &state));
    EXPECT_EQ(step.state, state);
    input = step.output;
  }
  pool_.reset();
  ASSERT_EQ(batches_.size(), 20u);
  for (const RanBatch& batch : batches_) EXPECT_EQ(batch.rows, 1);
}

TEST_F(SharedStepTest, ALateOneIsToldSoAndTouchesNothing) {
  std::latch done(1);
  OneStep step(Large(), &done, Input());
  step.deadline = clock_.Now() - absl::Seconds(1);
  ASSERT_TRUE(pool_->SubmitStep(&step).ok());
  done.wait();
  EXPECT_EQ(step.status, StepIsTooLate());
  EXPECT_EQ(step.state, std::vector<float>(1024));
}

TEST_F(SharedStepTest, AnotherSessionsStepMeanwhileRunsAsEver) {
  std::latch done(2);
  OneStep first(Large(), &done, Input());
  OneStep second(Large(), &done, Input());
  ASSERT_TRUE(pool_->SubmitStep(&first).ok());
  ASSERT_TRUE(pool_->SubmitStep(&second).ok());
  done.wait();
  EXPECT_EQ(first.output, second.output);
  EXPECT_TRUE(second.status.ok()) << second.status;
}

}  // namespace
}  // namespace gruserve

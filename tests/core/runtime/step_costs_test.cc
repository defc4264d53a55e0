#include "core/runtime/step_costs.h"

#include <gtest/gtest.h>

#include "tests/support/loaded_models.h"

namespace gruserve {
namespace {

StepCosts::Point Point(int64_t rows, int64_t us) { return {rows, absl::Microseconds(us)}; }

TEST(StepCostsTest, TheCostOfTheNextMeasuredBatchCounts) {
  const StepCosts costs({Point(1, 10), Point(2, 12), Point(4, 20), Point(8, 30)});
  EXPECT_EQ(costs.Of(1), absl::Microseconds(10));
  EXPECT_EQ(costs.Of(3), absl::Microseconds(20));
  EXPECT_EQ(costs.Of(8), absl::Microseconds(30));
  EXPECT_EQ(costs.Of(16), absl::Microseconds(60));
}

TEST(StepCostsTest, ASequenceCostsItsSteps) {
  const StepCosts costs({Point(1, 10), Point(2, 12)});
  EXPECT_EQ(costs.OfSequence(5, 1), absl::Microseconds(50));
  EXPECT_EQ(costs.OfSequence(5, 2), absl::Microseconds(60));
  EXPECT_EQ(StepCosts().OfSequence(1, 1), absl::InfiniteDuration());
}

TEST(StepCostsTest, ABatchIsWorthAWorkerWhereARowIsCheapAndTheWholeIsLong) {
  // Bound by memory: a row alone costs as much as sixteen.
  EXPECT_EQ(StepCosts({Point(1, 600), Point(4, 700), Point(16, 900), Point(64, 3300)}).worthwhile_rows(), 16);
  // Cheap rows from four on, but only 32 of them outlast a wake-up.
  EXPECT_EQ(StepCosts({Point(1, 6), Point(4, 15), Point(32, 114), Point(64, 227)}).worthwhile_rows(), 32);
  // A row costs less and less: two halves are two workers' all the same.
  EXPECT_EQ(StepCosts({Point(1, 900), Point(16, 1700), Point(32, 2700), Point(64, 4300)}).worthwhile_rows(),
            32);
  // Nothing is worth it.
  EXPECT_EQ(StepCosts({Point(1, 1), Point(64, 18)}).worthwhile_rows(), 64);
}

TEST(StepCostsTest, AModelThatCannotStepCostsForEver) {
  const StepCosts costs;
  EXPECT_EQ(costs.Of(1), absl::InfiniteDuration());
}

TEST(StepCostsTest, MeasuresEveryBatchUpToTheLargest) {
  const LoadedRandomModel model(1, {.input_size = 3, .hidden_size = 5});
  const auto costs = StepCosts::Measure(model.handle()->replica(0));
  ASSERT_TRUE(costs.ok()) << costs.status();
  ASSERT_EQ(costs->points().size(), 7u);
  EXPECT_EQ(costs->points().back().rows, 64);
  for (const auto& point : costs->points()) EXPECT_GT(point.cost, absl::ZeroDuration());
  EXPECT_GT(costs->OfSequence(1, 1), absl::ZeroDuration());
  EXPECT_LT(costs->OfSequence(1, 1), absl::Seconds(1));
}

}  // namespace
}  // namespace gruserve

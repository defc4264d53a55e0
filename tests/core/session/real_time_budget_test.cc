#include "core/session/real_time_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

// 10 us alone, 64 rows in 128 us: 2 us a row.
StepCosts Costs() { return StepCosts({{1, absl::Microseconds(10)}, {64, absl::Microseconds(128)}}); }

RealTimeContract Contract(absl::Duration period, absl::Duration deadline) { return {period, deadline}; }

class RealTimeBudgetTest : public ::testing::Test {
 protected:
  // Promises what can be promised, until the test ends or `promises_` is cleared.
  absl::Status Promise(RealTimeBudget& budget, const RealTimeContract& contract, int64_t rows = 1,
                       const StepCosts& costs = Costs()) {
    absl::StatusOr<RealTimePromise> promise = budget.Promise(costs, rows, contract);
    if (!promise.ok()) return promise.status();
    promises_.push_back(*std::move(promise));
    return absl::OkStatus();
  }

  RealTimeBudget budget_{1, 0.5};
  std::vector<RealTimePromise> promises_;
};

TEST_F(RealTimeBudgetTest, PromisesUpToItsShareAndTakesBack) {
  const RealTimeContract contract = Contract(absl::Milliseconds(10), absl::Milliseconds(10));
  while (Promise(budget_, contract).ok()) continue;
  EXPECT_NEAR(static_cast<double>(promises_.size()), 2500, 1);  // Half a second, at 200 us a second each.
  EXPECT_THAT(Promise(budget_, contract), StatusIs(absl::StatusCode::kResourceExhausted,
                                                   HasSubstr("asks for 200 us of compute a second")));
  promises_.clear();
  EXPECT_EQ(budget_.promised(), 0);
  EXPECT_TRUE(Promise(budget_, contract).ok());
}

TEST_F(RealTimeBudgetTest, MoreWorkersKeepMorePromises) {
  EXPECT_EQ(RealTimeBudget(8, 0.5).limit(), 8 * budget_.limit());
}

TEST_F(RealTimeBudgetTest, TheShorterOfPeriodAndDeadlineCounts) {
  EXPECT_TRUE(Promise(budget_, Contract(absl::Seconds(1), absl::Milliseconds(10))).ok());
  const int64_t first = budget_.promised();
  EXPECT_TRUE(Promise(budget_, Contract(absl::Milliseconds(10), absl::Seconds(1))).ok());
  EXPECT_EQ(budget_.promised(), 2 * first);
}

TEST_F(RealTimeBudgetTest, RowsCount) {
  const RealTimeContract contract = Contract(absl::Milliseconds(10), absl::Milliseconds(10));
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(Promise(budget_, contract).ok());
  const int64_t one_by_one = budget_.promised();
  EXPECT_TRUE(Promise(budget_, contract, 8).ok());
  EXPECT_NEAR(static_cast<double>(budget_.promised()), static_cast<double>(2 * one_by_one), 8);
}

TEST_F(RealTimeBudgetTest, ADeadlineMustOutlastWhatMayRunBefore) {
  const absl::Duration needed = (RealTimeBudget::kLongestSlice + absl::Microseconds(128)) * 2;
  EXPECT_THAT(Promise(budget_, Contract(absl::Seconds(1), needed - absl::Microseconds(1))),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("can be kept from 4.256ms on")));
  EXPECT_TRUE(Promise(budget_, Contract(absl::Seconds(1), needed)).ok());
}

TEST_F(RealTimeBudgetTest, ASlowerModelMustNotBreakAnEarlierPromise) {
  EXPECT_TRUE(Promise(budget_, Contract(absl::Seconds(1), absl::Milliseconds(5))).ok());
  const StepCosts slow({{1, absl::Milliseconds(1)}, {64, absl::Milliseconds(8)}});
  const RealTimeContract leisurely = Contract(absl::Seconds(10), absl::Seconds(10));
  EXPECT_THAT(Promise(budget_, leisurely, 1, slow),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("of another session is 5ms")));
  promises_.clear();
  EXPECT_TRUE(Promise(budget_, leisurely, 1, slow).ok());
}

TEST_F(RealTimeBudgetTest, RefusesWhatIsNoContract) {
  EXPECT_THAT(Promise(budget_, Contract(absl::ZeroDuration(), absl::Seconds(1))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a period of 0 and a deadline of 1s")));
  EXPECT_THAT(Promise(budget_, Contract(absl::Seconds(1), -absl::Seconds(1))),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
}

TEST_F(RealTimeBudgetTest, NothingIsPromisedOfNothing) {
  const RealTimeContract leisurely = Contract(absl::Hours(1), absl::Hours(1));
  RealTimeBudget none(2, 0);
  EXPECT_THAT(Promise(none, leisurely), StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
  // A model that cannot step.
  EXPECT_THAT(Promise(budget_, leisurely, 1, StepCosts()),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
}

TEST_F(RealTimeBudgetTest, ComesBackToNothingAfterAnyMix) {
  std::mt19937 random(7);
  for (int i = 0; i < 10'000; ++i) {
    if (!promises_.empty() && random() % 2 == 0) {
      std::swap(promises_[random() % promises_.size()], promises_.back());
      promises_.pop_back();
      continue;
    }
    const RealTimeContract contract = Contract(absl::Microseconds(5000 + random() % 100'000),
                                               absl::Microseconds(5000 + random() % 100'000));
    Promise(budget_, contract, static_cast<int64_t>(1 + random() % 8)).IgnoreError();
    EXPECT_LE(budget_.promised(), budget_.limit());
  }
  promises_.clear();
  EXPECT_EQ(budget_.promised(), 0);
}

TEST(RealTimeClockTest, StepsAreDueTheirDeadlineAfterTheyArrive) {
  RealTimeClock clock(Contract(absl::Milliseconds(10), absl::Milliseconds(4)));
  const absl::Time start = absl::UnixEpoch();
  EXPECT_EQ(clock.Due(start), start + absl::Milliseconds(4));
  EXPECT_EQ(clock.Due(start + absl::Milliseconds(25)), start + absl::Milliseconds(29));
}

TEST(RealTimeClockTest, StepsThatComeTooFastAreDueAtTheDeclaredRate) {
  RealTimeClock clock(Contract(absl::Milliseconds(10), absl::Milliseconds(4)));
  const absl::Time start = absl::UnixEpoch();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(clock.Due(start), start + absl::Milliseconds(10 * i + 4));
}

TEST(RealTimeClockTest, CountsWhatIsLate) {
  RealTimeClock clock(Contract(absl::Milliseconds(10), absl::Milliseconds(4)));
  EXPECT_EQ(clock.late_steps(), 0);
  clock.CountLate();
  EXPECT_EQ(clock.late_steps(), 1);
}

}  // namespace
}  // namespace gruserve

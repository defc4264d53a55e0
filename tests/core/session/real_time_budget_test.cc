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

TEST(RealTimeBudgetTest, AdmitsUpToItsShareAndGivesBack) {
  RealTimeBudget budget(2, 0.5);
  const RealTimeContract contract = Contract(absl::Milliseconds(10), absl::Milliseconds(10));
  int admitted = 0;
  while (budget.Admit(Costs(), 1, contract).ok()) ++admitted;
  // A second of one worker of two, at 200 us a second each.
  EXPECT_NEAR(admitted, 5000, 1);
  EXPECT_THAT(budget.Admit(Costs(), 1, contract), StatusIs(absl::StatusCode::kResourceExhausted,
                                                           HasSubstr("asks for 200 us of compute a second")));
  for (int i = 0; i < admitted; ++i) budget.Release(Costs(), 1, contract);
  EXPECT_EQ(budget.promised(), 0);
  EXPECT_TRUE(budget.Admit(Costs(), 1, contract).ok());
}

TEST(RealTimeBudgetTest, TheShorterOfPeriodAndDeadlineCounts) {
  RealTimeBudget budget(1, 0.5);
  EXPECT_TRUE(budget.Admit(Costs(), 1, Contract(absl::Seconds(1), absl::Milliseconds(10))).ok());
  const int64_t first = budget.promised();
  EXPECT_TRUE(budget.Admit(Costs(), 1, Contract(absl::Milliseconds(10), absl::Seconds(1))).ok());
  EXPECT_EQ(budget.promised(), 2 * first);
}

TEST(RealTimeBudgetTest, RowsCount) {
  RealTimeBudget one(1, 0.5);
  RealTimeBudget eight(1, 0.5);
  const RealTimeContract contract = Contract(absl::Milliseconds(10), absl::Milliseconds(10));
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(one.Admit(Costs(), 1, contract).ok());
  EXPECT_TRUE(eight.Admit(Costs(), 8, contract).ok());
  EXPECT_NEAR(static_cast<double>(one.promised()), static_cast<double>(eight.promised()), 8);
}

TEST(RealTimeBudgetTest, ADeadlineMustOutlastWhatMayRunBefore) {
  RealTimeBudget budget(1, 0.5);
  const absl::Duration needed = (RealTimeBudget::kLongestSlice + absl::Microseconds(128)) * 2;
  EXPECT_THAT(budget.Admit(Costs(), 1, Contract(absl::Seconds(1), needed - absl::Microseconds(1))),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("can be kept from 4.256ms on")));
  EXPECT_TRUE(budget.Admit(Costs(), 1, Contract(absl::Seconds(1), needed)).ok());
}

TEST(RealTimeBudgetTest, ASlowerModelMustNotBreakAnEarlierPromise) {
  RealTimeBudget budget(1, 0.5);
  EXPECT_TRUE(budget.Admit(Costs(), 1, Contract(absl::Seconds(1), absl::Milliseconds(5))).ok());
  const StepCosts slow({{1, absl::Milliseconds(1)}, {64, absl::Milliseconds(8)}});
  EXPECT_THAT(budget.Admit(slow, 1, Contract(absl::Seconds(10), absl::Seconds(10))),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("of another session is 5ms")));
  budget.Release(Costs(), 1, Contract(absl::Seconds(1), absl::Milliseconds(5)));
  EXPECT_TRUE(budget.Admit(slow, 1, Contract(absl::Seconds(10), absl::Seconds(10))).ok());
}

TEST(RealTimeBudgetTest, RefusesWhatIsNoContract) {
  RealTimeBudget budget(1, 0.5);
  EXPECT_THAT(budget.Admit(Costs(), 1, Contract(absl::ZeroDuration(), absl::Seconds(1))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a period of 0 and a deadline of 1s")));
  EXPECT_THAT(budget.Admit(Costs(), 1, Contract(absl::Seconds(1), -absl::Seconds(1))),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
}

TEST(RealTimeBudgetTest, NothingIsPromisedOfNothing) {
  RealTimeBudget none(2, 0);
  EXPECT_THAT(none.Admit(Costs(), 1, Contract(absl::Hours(1), absl::Hours(1))),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
  RealTimeBudget budget(2, 0.5);
  EXPECT_THAT(budget.Admit(StepCosts(), 1, Contract(absl::Hours(1), absl::Hours(1))),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::_));
}

TEST(RealTimeBudgetTest, ComesBackToNothingAfterAnyMix) {
  RealTimeBudget budget(2, 0.5);
  std::mt19937 random(7);
  std::vector<std::pair<int64_t, RealTimeContract>> held;
  for (int i = 0; i < 10'000; ++i) {
    if (!held.empty() && random() % 2 == 0) {
      std::swap(held[random() % held.size()], held.back());
      budget.Release(Costs(), held.back().first, held.back().second);
      held.pop_back();
      continue;
    }
    const int64_t rows = 1 + random() % 8;
    const RealTimeContract contract = Contract(absl::Microseconds(5000 + random() % 100'000),
                                               absl::Microseconds(5000 + random() % 100'000));
    if (budget.Admit(Costs(), rows, contract).ok()) held.emplace_back(rows, contract);
    EXPECT_LE(budget.promised(), budget.limit());
  }
  for (const auto& [rows, contract] : held) budget.Release(Costs(), rows, contract);
  EXPECT_EQ(budget.promised(), 0);
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
  const absl::Time due = clock.Due(absl::UnixEpoch());
  clock.Answered(due, due);
  EXPECT_EQ(clock.late_steps(), 0);
  clock.Answered(due, due + absl::Nanoseconds(1));
  EXPECT_EQ(clock.late_steps(), 1);
}

}  // namespace
}  // namespace gruserve

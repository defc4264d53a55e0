// Sessions with a real-time contract: what is promised, and when their steps are due.

#include <memory>
#include <string>

#include "core/session/session_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPeriod = absl::Milliseconds(10);
constexpr absl::Duration kDeadline = absl::Milliseconds(5);

class SessionRealTimeTest : public SessionFixture {
 protected:
  OpenSessionOptions RealTime(const std::string& id, absl::Duration period = kPeriod,
                              absl::Duration deadline = kDeadline) {
    OpenSessionOptions options = Options(id, sink_);
    options.real_time = RealTimeContract{period, deadline};
    return options;
  }
  SessionOp ArrivedStep(int64_t time_steps = 1) {
    SessionOp op = StepOp(Input(time_steps), time_steps);
    op.received = clock_.Now();
    return op;
  }
};

TEST_F(SessionRealTimeTest, StepsCarryTheirDueTime) {
  const auto session = Open(RealTime("a"));
  session->Submit(ArrivedStep(), sink_);
  EXPECT_EQ(executor_.next_step().due, clock_.Now() + kDeadline);
  executor_.RunAll();
  session->Submit(ArrivedStep(), sink_);  // Before its period: due at the declared rate.
  EXPECT_EQ(executor_.next_step().due, clock_.Now() + kPeriod + kDeadline);
}

TEST_F(SessionRealTimeTest, OtherSessionsStepsAreNeverDue) {
  const auto session = Open("a", sink_);
  session->Submit(ArrivedStep(), sink_);
  EXPECT_EQ(executor_.next_step().due, absl::InfiniteFuture());
}

TEST_F(SessionRealTimeTest, ALateStepRunsAndIsCounted) {
  const auto session = Open(RealTime("a"));
  session->Submit(ArrivedStep(), sink_);
  clock_.Advance(kDeadline + absl::Microseconds(1));
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  EXPECT_EQ(session->Describe().late_steps, 1);
  EXPECT_EQ(table_->counters().late_steps, 1);
  EXPECT_TRUE(Run(*session, ArrivedStep(), sink_).status.ok());
  EXPECT_EQ(session->Describe().late_steps, 1);
}

TEST_F(SessionRealTimeTest, AChunkCatchesUpAndIsNotDue) {
  const auto session = Open(RealTime("a"));
  session->Submit(ArrivedStep(4), sink_);
  clock_.Advance(absl::Hours(1));
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  EXPECT_EQ(session->Describe().late_steps, 0);
}

TEST_F(SessionRealTimeTest, WhatDoesNotFitIsRefusedAndCostsNothing) {
  const int64_t before = table_->counters().memory_bytes;
  EXPECT_THAT(OpenError(RealTime("a", absl::Nanoseconds(100))),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("real_time asks for")));
  EXPECT_THAT(OpenError(RealTime("a", kPeriod, absl::Milliseconds(1))),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("real_time.deadline is 1ms")));
  EXPECT_THAT(OpenError(RealTime("a", absl::ZeroDuration())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("period")));
  EXPECT_EQ(table_->counters().memory_bytes, before);
  EXPECT_EQ(table_->counters().real_time_promised, 0);
}

TEST_F(SessionRealTimeTest, ASessionsEndGivesItsPromiseBack) {
  const auto closed = Open(RealTime("closed"));
  const auto evicted = Open(RealTime("evicted"));
  EXPECT_GT(table_->counters().real_time_promised, 0);
  Run(*closed, CloseOp(), sink_);
  clock_.Advance(absl::Hours(1));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
  EXPECT_EQ(table_->counters().real_time_promised, 0);
}

TEST_F(SessionRealTimeTest, AResumedSessionKeepsItsContract) {
  Open(RealTime("a"));
  table_->DetachAll(sink_.get());
  EXPECT_EQ(Open(Options("a", sink_, OpenMode::kResume))->Describe().real_time,
            (RealTimeContract{kPeriod, kDeadline}));
  table_->DetachAll(sink_.get());
  OpenSessionOptions other = RealTime("a", kPeriod, kPeriod);
  other.mode = OpenMode::kCreateOrResume;
  EXPECT_THAT(OpenError(other), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leave it out")));
  OpenSessionOptions same = RealTime("a");
  same.mode = OpenMode::kCreateOrResume;
  EXPECT_TRUE(OpenError(same).ok());
}

TEST_F(SessionRealTimeTest, StepsAndChunksAreTheirSessionsTenants) {
  Tenant tenant{.name = "acme"};
  OpenSessionOptions options = Options("a", sink_);
  options.tenant = &tenant;
  const auto session = Open(options);
  session->Submit(ArrivedStep(), sink_);
  EXPECT_EQ(executor_.next_step().tenant, &tenant);
  executor_.RunAll();
  session->Submit(ArrivedStep(4), sink_);
  EXPECT_EQ(executor_.next_sequence().tenant, &tenant);
}

}  // namespace
}  // namespace gruserve

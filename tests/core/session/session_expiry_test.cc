// When sessions end by themselves: idle, or after their stream.

#include <memory>
#include <string>

#include "core/session/session_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionExpiryTest : public SessionFixture {
 protected:
  const std::shared_ptr<RecordingSink> other_ = std::make_shared<RecordingSink>();
};

TEST_F(SessionExpiryTest, AnIdleSessionIsEvictedAndItsClientIsTold) {
  const auto session = Open("a", sink_);
  clock_.Advance(absl::Minutes(5) - absl::Seconds(1));
  EXPECT_LE(table_->Expire(), clock_.Now() + absl::Seconds(1));
  EXPECT_EQ(table_->counters().live, 1);
  clock_.Advance(absl::Seconds(1));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
  EXPECT_EQ(table_->counters().memory_bytes, 0);
  EXPECT_EQ(table_->counters().evicted_idle, 1);
  ASSERT_EQ(sink_->detached().size(), 1u);
  EXPECT_EQ(sink_->detached()[0].handle, 7u);
  EXPECT_EQ(sink_->detached()[0].status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(sink_->detached()[0].reason, SessionErrorReason::kEvictedIdle);
  const SessionOpResult late = Run(*session, StepOp(Input()), sink_);
  EXPECT_EQ(late.status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(late.reason, SessionErrorReason::kEvictedIdle);
  EXPECT_THAT(std::string(table_->Find("a").status().message()), HasSubstr("evicted"));
  EXPECT_THAT(std::string(OpenError(Options("a", sink_, OpenMode::kResume)).message()), HasSubstr("evicted"));
}

TEST_F(SessionExpiryTest, IdleTimeCountsFromTheLastCompletedOperation) {
  const auto session = Open("a", sink_);
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(absl::Minutes(4));
    Run(*session, StepOp(Input()), sink_);
    table_->Expire();
  }
  EXPECT_EQ(table_->counters().live, 1);
  clock_.Advance(absl::Minutes(5));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
}

TEST_F(SessionExpiryTest, ASessionWithWorkQueuedOrRunningIsNeverEvicted) {
  const auto session = Open("a", sink_);
  session->Submit(StepOp(Input()), sink_);
  session->Submit(StepOp(Input()), sink_);
  clock_.Advance(absl::Hours(1));
  EXPECT_GT(table_->Expire(), clock_.Now());
  executor_.RunOne();
  clock_.Advance(absl::Hours(1));
  table_->Expire();
  table_->DetachAll(sink_.get());
  clock_.Advance(absl::Hours(1));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 1);
  executor_.RunAll();
  EXPECT_TRUE(sink_->last().status.ok());
  clock_.Advance(absl::Minutes(5));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
}

TEST_F(SessionExpiryTest, GraceEndsASessionWhoseStreamEnded) {
  Open("a", sink_);
  table_->DetachAll(sink_.get());
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(table_->Expire(), clock_.Now() + absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
  EXPECT_EQ(table_->counters().evicted_grace, 1);
  EXPECT_EQ(table_->counters().evicted_idle, 0);
  EXPECT_THAT(sink_->detached(), IsEmpty()) << "it holds nothing any more";
  EXPECT_THAT(std::string(table_->Find("a").status().message()), HasSubstr("its stream ended"));
}

TEST_F(SessionExpiryTest, AResumeEndsTheGrace) {
  Open("a", sink_);
  table_->DetachAll(sink_.get());
  clock_.Advance(absl::Seconds(59));
  Open(Options("a", other_, OpenMode::kResume));
  clock_.Advance(absl::Seconds(200));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 1);
}

TEST_F(SessionExpiryTest, GraceCountsFromALaterOperation) {
  const auto session = Open("a", sink_);
  table_->DetachAll(sink_.get());
  clock_.Advance(absl::Seconds(50));
  Run(*session, StepOp(Input()), other_);
  clock_.Advance(absl::Seconds(50));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 1);
  clock_.Advance(absl::Seconds(10));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 0);
}

TEST_F(SessionExpiryTest, ASessionThatNoStreamEverHeldHasTheIdleTime) {
  Open("a", nullptr);
  clock_.Advance(absl::Seconds(299));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 1);
  clock_.Advance(absl::Seconds(1));
  table_->Expire();
  EXPECT_EQ(table_->counters().evicted_idle, 1);
}

TEST_F(SessionExpiryTest, AnInfiniteIdleTimeNeverEnds) {
  MakeTable({.idle_ttl = absl::InfiniteDuration()});
  Open("a", sink_);
  clock_.Advance(absl::Hours(24 * 365));
  table_->Expire();
  EXPECT_EQ(table_->counters().live, 1);
  table_->DetachAll(sink_.get());
  clock_.Advance(absl::Seconds(60));
  table_->Expire();
  EXPECT_EQ(table_->counters().evicted_grace, 1);
}

TEST_F(SessionExpiryTest, AnEvictionIsForgottenAfterTenMinutesAndByANewSession) {
  Open("a", sink_);
  Open("b", sink_);
  clock_.Advance(absl::Minutes(5));
  table_->Expire();
  EXPECT_THAT(std::string(table_->Find("a").status().message()), HasSubstr("evicted"));
  Run(*Open("b", sink_), CloseOp(), sink_);
  EXPECT_THAT(std::string(table_->Find("b").status().message()), HasSubstr("not open"));
  clock_.Advance(absl::Minutes(10));
  EXPECT_THAT(std::string(table_->Find("a").status().message()), HasSubstr("not open"));
}

TEST_F(SessionExpiryTest, ExpireNeverScansWhatIsNotDueAndEndsManyAtOnce) {
  for (int i = 0; i < 2000; ++i) Open("s" + std::to_string(i), sink_);
  clock_.Advance(absl::Minutes(5));
  table_->Expire();
  EXPECT_EQ(table_->counters().evicted_idle, 2000);
  EXPECT_EQ(table_->counters().attached, 0);
  EXPECT_EQ(table_->counters().memory_bytes, 0);
  EXPECT_EQ(sink_->detached().size(), 2000u);
}

TEST_F(SessionExpiryTest, SessionsOfARetiredModelEndAfterWhatIsQueued) {
  const auto session = Open("a", sink_);
  const LoadedRandomModel fresh(2, {.input_size = 3, .hidden_size = 5});
  OpenSessionOptions on_other = Options("b", other_);
  on_other.model = fresh.handle();
  Open(on_other);
  session->Submit(StepOp(Input()), sink_);
  session->Submit(StepOp(Input()), sink_);
  table_->EndSessionsOf(*demo().handle(), absl::Hours(1));
  session->Submit(StepOp(Input()), sink_);
  EXPECT_EQ(table_->counters().live, 2);
  executor_.RunAll();
  ASSERT_EQ(sink_->results().size(), 3u);
  EXPECT_TRUE(sink_->results()[0].status.ok());
  EXPECT_TRUE(sink_->results()[1].status.ok());
  EXPECT_EQ(sink_->results()[2].status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(sink_->results()[2].reason, SessionErrorReason::kVersionRetired);
  ASSERT_EQ(sink_->detached().size(), 1u);
  EXPECT_EQ(sink_->detached()[0].reason, SessionErrorReason::kVersionRetired);
  EXPECT_THAT(std::string(sink_->detached()[0].status.message()),
              HasSubstr("was replaced or unloaded, and sessions may stay on it for 1h"));
  EXPECT_EQ(table_->counters().live, 1);
  EXPECT_EQ(table_->counters().retired, 1);
  EXPECT_THAT(std::string(table_->Find("a").status().message()), HasSubstr("was ended: its model version"));
  EXPECT_TRUE(table_->Find("b").ok());
  EXPECT_THAT(other_->detached(), IsEmpty());
  session->Retire(absl::NotFoundError("again"));
  EXPECT_EQ(table_->counters().retired, 1);
}

// Whoever still refers to an ended session (a stream's table of handles, say)
// does not hold its state.
TEST_F(SessionExpiryTest, TheStateIsFreedWhenASessionEndsNotWhenItIsForgotten) {
  StateSlab& slab = demo().handle()->slab();
  float* row = slab.Allocate();
  slab.Free(row);  // The next to be handed out.
  const auto closed = Open("closed", sink_);
  Run(*closed, CloseOp(), sink_);
  ASSERT_EQ(slab.Allocate(), row);
  slab.Free(row);
  const auto evicted = Open("evicted", sink_);
  clock_.Advance(absl::Minutes(5));
  table_->Expire();
  ASSERT_EQ(slab.Allocate(), row);
  slab.Free(row);
}

}  // namespace
}  // namespace gruserve

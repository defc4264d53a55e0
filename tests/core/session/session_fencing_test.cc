// Whose operations a session runs when streams lose it and gain it.

#include <cstdint>
#include <memory>
#include <vector>

#include "core/session/session.h"
#include "gtest/gtest.h"
#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

class SessionFencingTest : public SessionFixture {
 protected:
  void SetUp() override {
    SessionFixture::SetUp();
    session_ = Open("a", sink_);
  }

  std::shared_ptr<Session> session_;
};

TEST_F(SessionFencingTest, AResumeFencesWhatWasQueuedBeforeAndTellsTheNextStep) {
  session_->Submit(StepOp(Input()), sink_);
  session_->Submit(StepOp(Input()), sink_);
  const auto other = std::make_shared<RecordingSink>();
  OpenSessionOptions options = Options("a", other, OpenMode::kResume);
  options.take_over = true;
  Open(options);
  int64_t told = 0;
  session_->ReadState([&](const SessionDescription& d, const std::vector<float>&) { told = d.next_step; });
  session_->Submit(StepOp(Input()), other);
  session_->Submit(StepOp(Input()), sink_);
  executor_.RunAll();
  ASSERT_EQ(sink_->results().size(), 3u);
  // At once; if what waits succeeds, the step after it is the fourth.
  ExpectError(sink_->results()[0], absl::StatusCode::kAborted, SessionErrorReason::kFenced, 4, "epoch 2");
  EXPECT_TRUE(sink_->results()[1].status.ok());
  ExpectError(sink_->results()[2], absl::StatusCode::kAborted, SessionErrorReason::kFenced, 2, "epoch 2");
  EXPECT_EQ(told, 2);
  EXPECT_TRUE(other->last().status.ok());
  EXPECT_EQ(other->last().index, 2);
}

TEST_F(SessionFencingTest, AFencedOperationRaisesNoBarrierForTheNewOwner) {
  const auto other = std::make_shared<RecordingSink>();
  OpenSessionOptions options = Options("a", other, OpenMode::kResume);
  options.take_over = true;
  Open(options);
  ExpectError(Run(*session_, StepOp(Input()), sink_), absl::StatusCode::kAborted, SessionErrorReason::kFenced,
              1);
  EXPECT_TRUE(Run(*session_, StepOp(Input()), other).status.ok());
}

TEST_F(SessionFencingTest, OnlyACloseFromOutsideMayTouchAHeldSession) {
  const auto outside = std::make_shared<RecordingSink>();
  ExpectError(Run(*session_, StepOp(Input()), outside), absl::StatusCode::kAborted,
              SessionErrorReason::kFenced, 1);
  ExpectError(Run(*session_, CloseOp(), outside), absl::StatusCode::kAborted, SessionErrorReason::kFenced, 1);
  SessionOp close = CloseOp();
  close.close_held = true;
  EXPECT_TRUE(Run(*session_, close, outside).status.ok());
  ASSERT_EQ(sink_->detached().size(), 1u);
  EXPECT_EQ(sink_->detached()[0].status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(table_->counters().live, 0);
}

}  // namespace
}  // namespace gruserve

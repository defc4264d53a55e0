#include "core/session/step_ledger.h"

#include <cstdint>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

SessionOp Step(int64_t index = 0, int64_t time_steps = 1) {
  SessionOp op;
  op.index = index;
  op.time_steps = time_steps;
  return op;
}

SessionOp SetState(int64_t index = 0) {
  SessionOp op;
  op.kind = SessionOpKind::kSetState;
  op.index = index;
  return op;
}

SessionOp Close() {
  SessionOp op;
  op.kind = SessionOpKind::kClose;
  return op;
}

SessionOp Refused(SessionOp op, absl::Status status = absl::InvalidArgumentError("input.shape")) {
  op.refused = std::move(status);
  return op;
}

class StepLedgerTest : public ::testing::Test {
 protected:
  // A ledger whose next index is `next`.
  void AdvanceTo(int64_t next) {
    ASSERT_TRUE(ledger_.Judge(Step(0, next - ledger_.next())).status.ok());
    ledger_.Applied(next - ledger_.next());
  }
  void ExpectRuns(const SessionOp& op, int64_t index) {
    const StepLedger::Verdict verdict = ledger_.Judge(op);
    EXPECT_TRUE(verdict.status.ok()) << verdict.status;
    EXPECT_EQ(verdict.index, index);
    EXPECT_EQ(verdict.reason, SessionErrorReason::kNone);
  }
  void ExpectRefused(const SessionOp& op, absl::StatusCode code, SessionErrorReason reason, int64_t index,
                     const std::string& text = "") {
    const int64_t next = ledger_.next();
    const StepLedger::Verdict verdict = ledger_.Judge(op);
    EXPECT_EQ(verdict.status.code(), code) << verdict.status;
    EXPECT_THAT(std::string(verdict.status.message()), HasSubstr(text));
    EXPECT_EQ(verdict.reason, reason);
    EXPECT_EQ(verdict.index, index);
    EXPECT_EQ(ledger_.next(), next);
    EXPECT_TRUE(ledger_.barrier());
  }

  StepLedger ledger_;
};

TEST_F(StepLedgerTest, TheFirstIndexIsOne) {
  EXPECT_EQ(ledger_.next(), 1);
  ExpectRuns(Step(), 1);
}

TEST_F(StepLedgerTest, AnIndexEqualToTheNextRuns) {
  AdvanceTo(5);
  ExpectRuns(Step(5), 5);
}

TEST_F(StepLedgerTest, AChunkTakesAPlaceForEachTimeStep) {
  ExpectRuns(Step(0, 7), 1);
  ledger_.Applied(LogPlaces(Step(0, 7)));
  EXPECT_EQ(ledger_.next(), 8);
}

TEST_F(StepLedgerTest, SetStateTakesOnePlace) {
  ExpectRuns(SetState(), 1);
  ledger_.Applied(LogPlaces(SetState()));
  EXPECT_EQ(ledger_.next(), 2);
}

TEST_F(StepLedgerTest, CloseTakesNoPlace) {
  ExpectRuns(Close(), 0);
  EXPECT_EQ(LogPlaces(Close()), 0);
}

TEST_F(StepLedgerTest, AnAppliedIndexIsOutOfRange) {
  AdvanceTo(5);
  ExpectRefused(Step(4), absl::StatusCode::kOutOfRange, SessionErrorReason::kIndex, 4, "index is 4");
}

TEST_F(StepLedgerTest, AWhollyAppliedChunkIsOutOfRange) {
  AdvanceTo(5);
  ExpectRefused(Step(2, 3), absl::StatusCode::kOutOfRange, SessionErrorReason::kIndex, 2);
}

TEST_F(StepLedgerTest, AStraddlingChunkIsFailedPrecondition) {
  AdvanceTo(5);
  ExpectRefused(Step(2, 4), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, 2,
                "the next one is 5");
}

TEST_F(StepLedgerTest, AnIndexTooHighIsFailedPrecondition) {
  AdvanceTo(5);
  ExpectRefused(Step(6), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, 6,
                "index is 6, the next one is 5");
}

TEST_F(StepLedgerTest, AnAppliedSetStateIsOutOfRange) {
  AdvanceTo(5);
  ExpectRefused(SetState(4), absl::StatusCode::kOutOfRange, SessionErrorReason::kIndex, 4);
}

TEST_F(StepLedgerTest, ANegativeIndexIsInvalidArgument) {
  ExpectRefused(Step(-3), absl::StatusCode::kInvalidArgument, SessionErrorReason::kNone, -3, "index is -3");
}

TEST_F(StepLedgerTest, ExtremeIndexesDoNotWrap) {
  AdvanceTo(5);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  ExpectRefused(Step(kMost, kMost), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, kMost);
  ExpectRefused(Step(1, kMost), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, 1);
}

TEST_F(StepLedgerTest, AFailedStepRaisesTheBarrierForUnindexedSteps) {
  ExpectRuns(Step(), 1);
  ledger_.Failed();
  ExpectRefused(Step(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0, "step 1");
  ExpectRefused(Step(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0);
}

TEST_F(StepLedgerTest, ARefusedStepRaisesTheBarrier) {
  ExpectRefused(Refused(Step()), absl::StatusCode::kInvalidArgument, SessionErrorReason::kNone, 0,
                "input.shape");
  ExpectRefused(Step(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0);
}

TEST_F(StepLedgerTest, AWrongIndexRaisesTheBarrier) {
  ExpectRefused(Step(3), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, 3);
  ExpectRefused(Step(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0);
}

TEST_F(StepLedgerTest, TheBarrierHoldsForAnUnindexedStepThatIsBadItself) {
  ledger_.Failed();
  ExpectRefused(Refused(Step()), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0);
}

TEST_F(StepLedgerTest, TheIndexedStepLowersTheBarrier) {
  AdvanceTo(5);
  ledger_.Failed();
  ExpectRuns(Step(5), 5);
  ledger_.Applied(1);
  ExpectRuns(Step(), 6);
}

TEST_F(StepLedgerTest, AWronglyIndexedStepDoesNotLowerTheBarrier) {
  AdvanceTo(5);
  ledger_.Failed();
  ExpectRefused(Step(4), absl::StatusCode::kOutOfRange, SessionErrorReason::kIndex, 4);
  ExpectRefused(Step(6), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kIndex, 6);
}

TEST_F(StepLedgerTest, SetStateLowersTheBarrierWithoutAnIndex) {
  ledger_.Failed();
  ExpectRuns(SetState(), 1);
  ledger_.Applied(1);
  ExpectRuns(Step(), 2);
}

TEST_F(StepLedgerTest, ABadSetStateDoesNotLowerTheBarrier) {
  ledger_.Failed();
  ExpectRefused(Refused(SetState()), absl::StatusCode::kInvalidArgument, SessionErrorReason::kNone, 0);
}

TEST_F(StepLedgerTest, CloseRunsBehindTheBarrier) {
  ledger_.Failed();
  ExpectRuns(Close(), 0);
}

TEST_F(StepLedgerTest, ARepairThatFailsRaisesTheBarrierAgain) {
  ledger_.Failed();
  ExpectRuns(Step(1), 1);
  ledger_.Failed();
  ExpectRefused(Step(), absl::StatusCode::kFailedPrecondition, SessionErrorReason::kBarrier, 0);
}

}  // namespace
}  // namespace gruserve

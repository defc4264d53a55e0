#include "core/session/step_ledger.h"

#include "absl/strings/str_cat.h"
#include "core/base/seeded_bug.h"

namespace gruserve {

int64_t LogPlaces(const SessionOp& op) {
  switch (op.kind) {
    case SessionOpKind::kStep:
      return op.time_steps;
    case SessionOpKind::kSetState:
      return 1;
    case SessionOpKind::kClose:
      return 0;
  }
  return 0;
}

StepLedger::Verdict StepLedger::Judge(const SessionOp& op) {
  if (op.kind == SessionOpKind::kClose) return {};
  Verdict verdict;
  if (barrier_ && op.kind == SessionOpKind::kStep && op.index == 0) {
    verdict = {Barred(next_), SessionErrorReason::kBarrier, 0};
  } else if (!op.refused.ok()) {
    verdict = {op.refused, SessionErrorReason::kNone, op.index};
  } else {
    verdict = JudgeIndex(op);
  }
  barrier_ = !verdict.status.ok();
  return verdict;
}

absl::Status StepLedger::Barred(int64_t expected_step) {
  return absl::FailedPreconditionError(absl::StrCat("an earlier operation failed: send step ", expected_step,
                                                    " with its index, or set the state"));
}

StepLedger::Verdict StepLedger::JudgeIndex(const SessionOp& op) const {
  const bool again = Seeded(Bug::kAppliedStepsRunAgain) && op.index < next_;
  if (op.index == 0 || op.index == next_ || again)
    return {absl::OkStatus(), SessionErrorReason::kNone, next_};
  if (op.index < 0) {
    return {absl::InvalidArgumentError(
                absl::StrCat("index is ", op.index, ", must be 0 (the next one) or at least 1")),
            SessionErrorReason::kNone, op.index};
  }
  if (op.index > next_) {
    return {absl::FailedPreconditionError(
                absl::StrCat("index is ", op.index, ", the next one is ", next_, ": nothing ran")),
            SessionErrorReason::kIndex, op.index};
  }
  if (WasApplied(op)) {
    return {absl::OutOfRangeError(absl::StrCat("index is ", op.index, ", already applied; the next one is ",
                                               next_, ", and no response is remembered")),
            SessionErrorReason::kIndex, op.index};
  }
  return {absl::FailedPreconditionError(absl::StrCat("index is ", op.index, " for ", LogPlaces(op),
                                                     " steps, of which some are applied; the next one is ",
                                                     next_, ": nothing ran")),
          SessionErrorReason::kIndex, op.index};
}

}  // namespace gruserve

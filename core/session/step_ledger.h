// The numbered log of one session: which index comes next, and whether a failed
// operation still waits to be made good (the error barrier).
//
// Pure: no locks, no time, no I/O. Not thread-safe.

#ifndef GRUSERVE_CORE_SESSION_STEP_LEDGER_H_
#define GRUSERVE_CORE_SESSION_STEP_LEDGER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/session/session_op.h"

namespace gruserve {

// Places of the log that `op` takes: a chunk one a time step, a set-state one.
int64_t LogPlaces(const SessionOp& op);

class StepLedger {
 public:
  // Where the last operation applied was `last`.
  explicit StepLedger(int64_t last = 0) : next_(last + 1) {}

  struct Verdict {
    absl::Status status;  // OK: run it at `index`, then call Applied or Failed.
    SessionErrorReason reason = SessionErrorReason::kNone;
    // The operation's place; 0 where it has none (a close, an un-indexed refusal).
    int64_t index = 0;
  };

  // What becomes of `op`, now that its turn has come. In this order:
  //   a close                   runs, always
  //   an un-indexed step after a failure  FailedPrecondition, kBarrier
  //   `op.refused`              as it is
  //   an index below the next   OutOfRange; FailedPrecondition for a chunk that
  //                             reaches beyond it
  //   an index above the next   FailedPrecondition
  // Every refusal raises the barrier; an operation that may run lowers it.
  Verdict Judge(const SessionOp& op);

  // Why an un-indexed step does not run behind the barrier.
  static absl::Status Barred(int64_t expected_step);

  // Whether `op` names places of the log that are all behind it.
  bool WasApplied(const SessionOp& op) const {
    return op.kind != SessionOpKind::kClose && op.index > 0 && op.index < next_ &&
           LogPlaces(op) <= next_ - op.index;
  }

  // The operation last allowed ran, and took so many places of the log.
  void Applied(int64_t places) { next_ += places; }
  // It did not: it must be made good.
  void Failed() { barrier_ = true; }

  // The index of the next operation; the first is 1.
  int64_t next() const { return next_; }
  bool barrier() const { return barrier_; }

 private:
  Verdict JudgeIndex(const SessionOp& op) const;

  int64_t next_;
  bool barrier_ = false;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_STEP_LEDGER_H_

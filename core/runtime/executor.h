// Where arithmetic is handed in: steps of many callers, run together, and whole
// sequences, run slice by slice on several workers. ComputePool is the real one; tests crank one by
// hand.
//
// Thread-safe. A task belongs to its submitter, must live until its On...Done
// returns, and is not submitted again before. On...Done is called exactly once
// for each Submit, from any thread, with no lock held; it must be short, and may
// submit again.

#ifndef GRUSERVE_CORE_RUNTIME_EXECUTOR_H_
#define GRUSERVE_CORE_RUNTIME_EXECUTOR_H_

#include <atomic>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/replica.h"
#include "core/network/network_run.h"
#include "core/runtime/joined_calls.h"
#include "core/runtime/loaded_model.h"
#include "core/runtime/tenant.h"

namespace gruserve {

// One step of one session (or of an InferCell call): one or more batch rows.
class StepTask {
 public:
  virtual ~StepTask() = default;

  // OK: every row has its new state and output. Otherwise no row was touched.
  // DeadlineExceeded where `deadline` had passed when its turn came.
  virtual void OnStepDone(const absl::Status& status) = 0;

  // Set before Submit, unchanged until done.
  const LoadedModel* model = nullptr;
  std::span<const StepRow> rows;
  absl::Time deadline = absl::InfiniteFuture();
  // When it was promised to be done: goes first, the nearest before the others, and
  // is done also where it comes too late.
  absl::Time due = absl::InfiniteFuture();
  // Null: nobody's in particular.
  Tenant* tenant = nullptr;

  // The executor's own, from Submit until done.
  StepTask* next_queued = nullptr;
  absl::Time queued_at;
};

inline absl::Status StepIsTooLate() {
  return absl::DeadlineExceededError("the step's deadline passed while it waited");
}

// A whole sequence, or a chunk of a session.
class SequenceTask {
 public:
  virtual ~SequenceTask() = default;

  // OK: states and outputs are written. Otherwise they are unspecified.
  // DeadlineExceeded as in StepTask; Cancelled where `cancelled` was set first.
  virtual void OnSequenceDone(const absl::Status& status) = 0;

  const LoadedModel* model = nullptr;
  SequenceCall call;
  absl::Time deadline = absl::InfiniteFuture();
  // Null: nobody's in particular.
  Tenant* tenant = nullptr;
  // Anyone may set it; looked at between slices.
  std::atomic<bool> cancelled = false;

  // The executor's own, from Submit until done.
  SequenceTask* next_queued = nullptr;
  // Of tasks that run as one call, the first has them.
  std::unique_ptr<JoinedCalls> joined;  // Null: it runs alone.
  std::unique_ptr<NetworkRun> run;
};

class Executor {
 public:
  virtual ~Executor() = default;
  // ResourceExhausted (and no On...Done) where the queue is full, or as many of a tenant's
  // sequences wait in it as it has places left; Unavailable after shutdown.
  virtual absl::Status SubmitStep(StepTask* task) = 0;
  virtual absl::Status SubmitSequence(SequenceTask* task) = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_EXECUTOR_H_

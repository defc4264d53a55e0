// An executor that runs what it has when a test says so, on the calling thread
// and the model's replica 0, and that fails on demand.
//
// Thread-safe, but only one thread may crank.

#ifndef GRUSERVE_TESTS_SUPPORT_HAND_CRANKED_EXECUTOR_H_
#define GRUSERVE_TESTS_SUPPORT_HAND_CRANKED_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"

namespace gruserve {

class HandCrankedExecutor : public Executor {
 public:
  // REQUIRES: `clock` outlives it.
  explicit HandCrankedExecutor(Clock* clock) : clock_(clock) {}
  // Runs what is left, as ComputePool does.
  ~HandCrankedExecutor() override { RunAll(); }

  absl::Status SubmitStep(StepTask* task) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status SubmitSequence(SequenceTask* task) override ABSL_LOCKS_EXCLUDED(mu_);

  // Runs the oldest task to its end; false where there is none.
  bool RunOne() ABSL_LOCKS_EXCLUDED(mu_);
  // Runs until nothing is left; answers how many ran.
  int RunAll();
  size_t waiting() const ABSL_LOCKS_EXCLUDED(mu_);
  // The oldest task. REQUIRES: it is a step.
  const StepTask& next_step() const ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: it is a sequence.
  const SequenceTask& next_sequence() const ABSL_LOCKS_EXCLUDED(mu_);

  // The next task that is run fails so, after it has spoiled what a sequence may
  // spoil: its states and outputs.
  void FailNext(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  // The next Submit is refused so.
  void RefuseNext(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Task = std::variant<StepTask*, SequenceTask*>;

  absl::Status Submit(Task task) ABSL_LOCKS_EXCLUDED(mu_);

  Clock* const clock_;

  mutable absl::Mutex mu_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  absl::Status fail_next_ ABSL_GUARDED_BY(mu_);
  absl::Status refuse_next_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_HAND_CRANKED_EXECUTOR_H_

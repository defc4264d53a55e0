#include "core/runtime/step_batch.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/engine/bucket_set.h"
#include "core/runtime/work_round.h"

namespace gruserve {

StepBatch::StepBatch() {
  tasks_.reserve(size_t{BucketSet::kMaxBatchSize});
  rows_.reserve(size_t{BucketSet::kMaxBatchSize});
}

int64_t StepBatch::Take(StepQueue& queue, int workers) {
  tasks_.clear();
  queue.Take(workers, &tasks_);
  model_ = tasks_.front()->model;
  return static_cast<int64_t>(tasks_.size());
}

void StepBatch::Run(int replica_index, Clock& clock, const Observe& observe) {
  // What follows from the results is submitted, and told, together.
  const WorkRound round(WorkRound::Thread::kWorker);
  const absl::Time begun = clock.Now();
  absl::Time oldest = begun;
  size_t kept = 0;
  rows_.clear();
  for (StepTask* task : tasks_) {
    if (task->deadline < begun) {
      task->OnStepDone(StepIsTooLate());
      continue;
    }
    oldest = std::min(oldest, task->queued_at);
    rows_.insert(rows_.end(), task->rows.begin(), task->rows.end());
    tasks_[kept++] = task;
  }
  if (kept == 0) return;
  tasks_.resize(kept);
  const absl::Status status = model_->replica(replica_index).RunSteps(rows_);
  if (observe) observe(*model_, static_cast<int64_t>(rows_.size()), begun - oldest, clock.Now() - begun);
  // The tasks, and with them what pins the model, may be gone once they are told.
  for (StepTask* task : tasks_) task->OnStepDone(status);
}

void StepBatch::GiveBack(StepQueue& queue) {
  if (model_ != nullptr) queue.Done(std::exchange(model_, nullptr));
}

}  // namespace gruserve

#include "core/runtime/sequence_queue.h"

#include <algorithm>

namespace gruserve {
namespace {

absl::Status Cancelled() { return absl::CancelledError("the call was cancelled"); }

absl::Status Begin(const SequenceQueue::Turn& turn, absl::Time now) {
  SequenceTask& task = *turn.task;
  if (task.cancelled.load(std::memory_order_relaxed)) return Cancelled();
  if (task.deadline < now) {
    return absl::DeadlineExceededError("the deadline passed while the sequence waited");
  }
  task.run = std::make_unique<SequenceRun>(task.model->shared_model(), task.call, turn.parallelism);
  return absl::OkStatus();
}

}  // namespace

bool SequenceQueue::HasTurn() const {
  return !waiting_.empty() || std::any_of(begun_.begin(), begun_.end(), [](const Begun& begun) {
    return begun.run != nullptr && begun.run->claimable();
  });
}

SequenceQueue::Turn SequenceQueue::Take() {
  for (const Begun& begun : begun_) {
    if (begun.run == nullptr) continue;
    if (const std::optional<SequenceSlice> slice = begun.run->Claim()) {
      return {.task = begun.task, .run = begun.run, .slice = *slice};
    }
  }
  const int64_t parallelism = std::max<int64_t>(1, num_workers_ / size());
  SequenceTask* const task = waiting_.front();
  waiting_.pop_front();
  begun_.push_back({task, nullptr});
  return {.task = task, .parallelism = parallelism};
}

absl::Status SequenceQueue::Run(const Turn& turn, Replica& replica, absl::Time now) {
  return turn.run == nullptr ? Begin(turn, now) : turn.run->Run(turn.slice, replica);
}

std::optional<absl::Status> SequenceQueue::Finish(const Turn& turn, const absl::Status& status) {
  const auto begun = std::find_if(begun_.begin(), begun_.end(),
                                  [&turn](const Begun& each) { return each.task == turn.task; });
  if (turn.run != nullptr) {
    begun->run->Finish(turn.slice, status);
  } else if (status.ok()) {
    begun->run = turn.task->run.get();
  } else {
    begun_.erase(begun);
    return status;
  }
  SequenceRun& run = *begun->run;
  if (!run.done() && turn.task->cancelled.load(std::memory_order_relaxed)) run.Fail(Cancelled());
  if (!run.done()) return std::nullopt;
  begun_.erase(begun);
  return run.status();
}

}  // namespace gruserve

#include "core/runtime/compute_pool.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"
#include "core/runtime/sequence_queue.h"
#include "core/runtime/shared_step.h"
#include "core/runtime/step_batch.h"
#include "core/runtime/step_placement.h"
#include "core/runtime/step_queue.h"
#include "core/runtime/task_queue.h"
#include "core/runtime/work_round.h"

namespace gruserve {

class ComputePool::Core : public StepPublisher {
 public:
  Core(Options options, Clock* clock);
  ~Core() override;

  int num_workers() const { return num_workers_; }
  absl::Status Submit(StepTask* task) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Submit(SequenceTask* task) ABSL_LOCKS_EXCLUDED(mu_);
  void Publish(TaskQueue<StepTask> steps, bool from_caller) override ABSL_LOCKS_EXCLUDED(mu_);
  void ComeBack() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // The right to compute, with replica `index` of every model; whoever has it,
  // a worker or a caller, owns what is in it.
  struct Slot {
    int index = 0;
    bool steps_next = true;
    StepBatch steps;
    std::optional<SequenceQueue::Turn> turn;
  };

  void Work(int worker) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives `done` back, waits for work, and answers a slot with a batch or with a
  // turn of a sequence. Null at the end.
  Slot* Take(int worker, Slot* done) ABSL_LOCKS_EXCLUDED(mu_);
  bool WorkReady(int worker) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !free_slots_.empty() && (steps_.ready() || sequences_.HasTurn(worker));
  }
  // Workers that could take a share of what this thread takes.
  int IdleOthers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return std::min(static_cast<int>(free_slots_.size()), idle_workers_);
  }
  Slot* TakeSlot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // For this thread and `others`, which could take a share each.
  void TakeSteps(Slot* slot, int others) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Release(Slot* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A caller's, who goes away.
  void ReleaseInPlace(Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);
  // Wakes one worker where there is work to do.
  void WakeWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (idle_workers_ > 0 && WorkReady(SequenceQueue::kAnyWorker)) work_ready_.Signal();
  }
  // The same for work that has just come: it goes before help.
  void WakeOrCallWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (idle_workers_ == 0 || free_slots_.empty()) sequences_.SendHelpAway();
    WakeWorker();
  }
  // Where the steps of a caller's round run, which are queued already, `first` before the
  // others; `nothing_waited` before them.
  RunPlace Place(const StepTask& first, bool nothing_waited) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes the one step that waits a sequence.
  void ShareStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  RunPlace Place(const SequenceTask& task) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The one that waits where it may run on this thread, or null.
  SequenceTask* TakeLoneSequence() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static absl::Duration CostOf(const SequenceTask& task) {
    return task.model->step_costs().OfSequence(task.call.time_steps, task.call.batch_size);
  }
  // On a caller's thread, from begin to end.
  void RunAlone(SequenceTask* task, Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);
  void RunSteps(Slot* slot) ABSL_LOCKS_EXCLUDED(mu_) {
    slot->steps.Run(slot->index, *clock_, options_.observe_batch);
  }
  void RunTurn(int worker, Slot* slot) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  const int num_workers_;
  Clock* const clock_;
  std::vector<Slot> slots_;
  std::vector<std::thread> threads_;

  std::atomic<int64_t> queued_steps_ = 0;
  std::atomic<bool> stopping_ = false;  // Set with mu_ held.

  absl::Mutex mu_;
  absl::CondVar work_ready_;
  absl::CondVar all_idle_;  // For the constructor.
  int idle_workers_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Slot*> free_slots_ ABSL_GUARDED_BY(mu_);
  bool asked_ ABSL_GUARDED_BY(mu_) = false;  // Somebody comes back for what waits.
  StepQueue steps_ ABSL_GUARDED_BY(mu_);
  SequenceQueue sequences_ ABSL_GUARDED_BY(mu_);
  StepPlacement placement_ ABSL_GUARDED_BY(mu_);
};

ComputePool::Core::Core(Options options, Clock* clock)
    : options_(std::move(options)),
      num_workers_(options_.num_workers > 0 ? options_.num_workers : UsableProcessors()),
      clock_(clock),
      slots_(static_cast<size_t>(num_workers_)),
      sequences_(num_workers_),
      placement_({.at_once = options_.in_place_limit,
                  .gathered = options_.ask_back ? options_.gather_limit : absl::ZeroDuration()}) {
  {
    absl::MutexLock lock(&mu_);
    for (int i = num_workers_ - 1; i >= 0; --i) {
      Slot& slot = slots_[static_cast<size_t>(i)];
      slot.index = i;
      free_slots_.push_back(&slot);
    }
  }
  threads_.reserve(slots_.size());
  for (int i = 0; i < num_workers_; ++i) threads_.emplace_back([this, i] { Work(i); });
  absl::MutexLock lock(&mu_);
  while (idle_workers_ < num_workers_) all_idle_.Wait(&mu_);
}

ComputePool::Core::~Core() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    work_ready_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](bool* asked) { return !*asked; }, &asked_));
}

absl::Status ComputePool::Core::Submit(StepTask* task) {
  assert(task->model != nullptr);
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  const int64_t waiting = queued_steps_.fetch_add(1, std::memory_order_relaxed);
  if (waiting >= options_.max_queued_steps) {
    queued_steps_.fetch_sub(1, std::memory_order_relaxed);
    return absl::ResourceExhaustedError(
        absl::StrCat("the server's queue is full: ", waiting, " steps wait, the most it holds"));
  }
  task->queued_at = clock_->Now();
  if (WorkRound* round = WorkRound::Current(); round != nullptr) {
    round->Add(task, this);
    return absl::OkStatus();
  }
  TaskQueue<StepTask> steps;
  steps.PushBack(task);
  Publish(steps, /*from_caller=*/true);
  return absl::OkStatus();
}

absl::Status ComputePool::Core::Submit(SequenceTask* task) {
  assert(task->model != nullptr);
  Slot* slot = nullptr;
  bool ask = false;
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return absl::UnavailableError("the server is shutting down");
    GRUSERVE_RETURN_IF_ERROR(sequences_.Admit(*task, options_.max_queued_sequences));
    switch (Place(*task)) {
      case RunPlace::kCaller:
        slot = TakeSlot();
        break;
      case RunPlace::kCallerBack:
        sequences_.Push(task);
        ask = !std::exchange(asked_, true);
        break;
      case RunPlace::kWorker:
      case RunPlace::kWorkers:
        sequences_.Push(task);
        WakeOrCallWorker();
    }
  }
  if (ask) options_.ask_back();
  if (slot != nullptr) RunAlone(task, slot);
  return absl::OkStatus();
}

void ComputePool::Core::RunAlone(SequenceTask* task, Slot* slot) {
  // A call that follows from the answer is one of many: it goes to a worker.
  const WorkRound round(WorkRound::Thread::kCaller);
  const absl::Status status = SequenceQueue::RunAlone(*task, slot->index, clock_->Now());
  ReleaseInPlace(slot);
  task->OnSequenceDone(status);
}

void ComputePool::Core::Publish(TaskQueue<StepTask> steps, bool from_caller) {
  Slot* slot = nullptr;
  bool ask = false;
  {
    absl::MutexLock lock(&mu_);
    const StepTask& first = *steps.front();
    const bool nothing_waited = steps_.empty();
    while (!steps.empty()) steps_.Push(steps.PopFront());
    switch (from_caller ? Place(first, nothing_waited) : RunPlace::kWorker) {
      case RunPlace::kCaller:
        slot = TakeSlot();
        TakeSteps(slot, IdleOthers());
        break;
      case RunPlace::kCallerBack:
        ask = !std::exchange(asked_, true);
        break;
      case RunPlace::kWorker:
        WakeOrCallWorker();
        break;
      case RunPlace::kWorkers:
        ShareStep();
    }
  }
  if (ask) options_.ask_back();
  if (slot == nullptr) return;
  RunSteps(slot);
  ReleaseInPlace(slot);
}

RunPlace ComputePool::Core::Place(const StepTask& first, bool nothing_waited) {
  return placement_.Choose(
      {.costs = first.model->step_costs(),
       .state = first.rows.front().state,
       .time = first.queued_at,
       .rows = steps_.RowsOfOnly(first.model),
       .nothing_waited = nothing_waited,
       .may_run = steps_.ready() && !free_slots_.empty(),
       .idle = sequences_.size() == 0 && free_slots_.size() == slots_.size() && !steps_.due(),
       .shareable = num_workers_ > 1 && first.model->shares_lone_step()});
}

void ComputePool::Core::ShareStep() {
  std::vector<StepTask*> step;
  steps_.Take(1, &step);
  steps_.Done(step.front()->model);
  queued_steps_.fetch_sub(1, std::memory_order_relaxed);
  sequences_.Push(new SharedStep(step.front(), [this](const StepTask& done) {
    if (!options_.observe_batch) return;
    options_.observe_batch(*done.model, 1, absl::ZeroDuration(), clock_->Now() - done.queued_at);
  }));
  WakeOrCallWorker();
}

void ComputePool::Core::ComeBack() {
  Slot* slot = nullptr;
  SequenceTask* alone = nullptr;
  {
    absl::MutexLock lock(&mu_);
    asked_ = false;
    if (steps_.ready() && !free_slots_.empty() && placement_.IsForCaller(steps_.CostOfNext())) {
      slot = TakeSlot();
      TakeSteps(slot, /*others=*/0);
    } else if (steps_.empty() && free_slots_.size() == slots_.size()) {
      alone = TakeLoneSequence();
      if (alone != nullptr) slot = TakeSlot();
    }
    WakeWorker();
  }
  if (slot == nullptr) return;
  if (alone != nullptr) return RunAlone(alone, slot);
  RunSteps(slot);
  ReleaseInPlace(slot);
}

RunPlace ComputePool::Core::Place(const SequenceTask& task) const {
  const bool idle = steps_.empty() && free_slots_.size() == slots_.size();
  if (!idle || WorkRound::Current() != nullptr) return RunPlace::kWorker;
  // Those that wait are waiting for the caller to come back, too.
  if (sequences_.size() > 0) return asked_ ? RunPlace::kCallerBack : RunPlace::kWorker;
  return placement_.ChooseForSequence(CostOf(task));
}

SequenceTask* ComputePool::Core::TakeLoneSequence() {
  const SequenceTask* const lone = sequences_.lone();
  return lone != nullptr && CostOf(*lone) <= options_.in_place_limit ? sequences_.TakeLone() : nullptr;
}

ComputePool::Core::Slot* ComputePool::Core::TakeSlot() {
  Slot* slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void ComputePool::Core::TakeSteps(Slot* slot, int others) {
  queued_steps_.fetch_sub(slot->steps.Take(steps_, others + 1), std::memory_order_relaxed);
}

void ComputePool::Core::ReleaseInPlace(Slot* slot) {
  absl::MutexLock lock(&mu_);
  Release(slot);
  // All: the one that a signal finds might be the one that leaves a slice to others.
  if (WorkReady(SequenceQueue::kAnyWorker)) work_ready_.SignalAll();
}

void ComputePool::Core::Release(Slot* slot) {
  slot->steps.GiveBack(steps_);
  slot->turn.reset();
  free_slots_.push_back(slot);
}

ComputePool::Core::Slot* ComputePool::Core::Take(int worker, Slot* done) {
  absl::MutexLock lock(&mu_);
  if (done != nullptr) Release(done);
  while (!WorkReady(worker)) {
    // What waits while no worker may take it is for those that run its kind now.
    if (stopping_ && steps_.empty() && sequences_.size() == 0) {
      work_ready_.SignalAll();
      return nullptr;
    }
    if (++idle_workers_ == num_workers_) all_idle_.Signal();
    work_ready_.Wait(&mu_);
    --idle_workers_;
  }
  Slot* slot = TakeSlot();
  if (!sequences_.HasTurn(worker) || (steps_.ready() && (slot->steps_next || steps_.due()))) {
    TakeSteps(slot, IdleOthers());
    slot->steps_next = false;
  } else {
    slot->turn = sequences_.Take(worker, clock_->Now());
    slot->steps_next = true;
  }
  // Slices come free without a submit: whoever takes work wakes the next.
  WakeWorker();
  return slot;
}

void ComputePool::Core::Work(int worker) {
  const SingleOmpThread one_thread;
  Slot* slot = nullptr;
  while ((slot = Take(worker, slot)) != nullptr) {
    if (slot->turn.has_value()) {
      RunTurn(worker, slot);
    } else {
      RunSteps(slot);
    }
  }
}

void ComputePool::Core::RunTurn(int worker, Slot* slot) {
  const SequenceQueue::Turn& turn = *slot->turn;
  const std::optional<absl::Status> status = SequenceQueue::Run(turn, slot->index);
  if (!status.has_value()) return;
  const absl::Time now = clock_->Now();
  std::optional<absl::Status> end;
  {
    absl::MutexLock lock(&mu_);
    end = sequences_.Finish(turn, *status, now, idle_workers_ > 0);
    if (sequences_.LeavesToOthers(worker)) WakeWorker();
  }
  if (!end.has_value()) {
    // The threads that read messages and that clients wait with may need this processor.
    std::this_thread::yield();
    return;
  }
  const WorkRound round(WorkRound::Thread::kWorker);
  SequenceQueue::Tell(turn.task, *end);
}

ComputePool::ComputePool(Options options, Clock* clock)
    : core_(std::make_unique<Core>(std::move(options), clock)) {}

ComputePool::~ComputePool() = default;

int ComputePool::num_workers() const { return core_->num_workers(); }

void ComputePool::ComeBack() { core_->ComeBack(); }

absl::Status ComputePool::SubmitStep(StepTask* task) { return core_->Submit(task); }

absl::Status ComputePool::SubmitSequence(SequenceTask* task) { return core_->Submit(task); }

}  // namespace gruserve

#include "core/runtime/compute_pool.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/bucket_set.h"
#include "core/engine/omp_threads.h"
#include "core/runtime/sequence_queue.h"

namespace gruserve {
namespace {

// First in, first out, through the tasks' own links. REQUIRES for front and
// PopFront: !empty().
template <typename Node>
class TaskQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  Node* front() const { return head_; }

  void PushBack(Node* node) {
    node->next_queued = nullptr;
    (empty() ? head_ : tail_->next_queued) = node;
    tail_ = node;
  }
  Node* PopFront() {
    Node* node = head_;
    head_ = node->next_queued;
    return node;
  }

 private:
  Node* head_ = nullptr;
  Node* tail_ = nullptr;
};

}  // namespace

class ComputePool::Core {
 public:
  Core(Options options, Clock* clock);
  ~Core();

  int num_workers() const { return workers_; }
  absl::Status Submit(StepTask* task) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Submit(SequenceTask* task) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // The ready steps of one model.
  struct ModelQueue {
    const LoadedModel* model = nullptr;
    TaskQueue<StepTask> steps;
    ModelQueue* next_queued = nullptr;
  };
  // What one worker holds from batch to batch.
  struct Worker {
    int index = 0;
    bool steps_next = true;
    std::vector<StepTask*> tasks;
    std::vector<StepRow> rows;
    std::optional<SequenceQueue::Turn> turn;
  };

  void Work(int index) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for work: fills `worker->tasks` or `worker->turn`. False at the end.
  bool Take(Worker* worker) ABSL_LOCKS_EXCLUDED(mu_);
  void TakeSteps(std::vector<StepTask*>* tasks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ModelQueue* QueueOf(const LoadedModel* model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunSteps(Worker* worker) ABSL_LOCKS_EXCLUDED(mu_);
  void RunTurn(const SequenceQueue::Turn& turn) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  Clock* const clock_;
  const int workers_;
  std::vector<std::thread> threads_;

  absl::Mutex mu_;
  absl::CondVar work_ready_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t queued_steps_ ABSL_GUARDED_BY(mu_) = 0;
  int idle_workers_ ABSL_GUARDED_BY(mu_) = 0;
  SequenceQueue sequences_ ABSL_GUARDED_BY(mu_);
  // Models with ready steps, in the order of their turns; a model is in
  // `queue_of_` only while it is here, so that an unloaded one leaves no trace.
  TaskQueue<ModelQueue> turns_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const LoadedModel*, ModelQueue*> queue_of_ ABSL_GUARDED_BY(mu_);
  TaskQueue<ModelQueue> spare_queues_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<ModelQueue>> all_queues_ ABSL_GUARDED_BY(mu_);
};

ComputePool::Core::Core(Options options, Clock* clock)
    : options_(std::move(options)),
      clock_(clock),
      workers_(options_.num_workers > 0 ? options_.num_workers : UsableProcessors()),
      sequences_(workers_) {
  threads_.reserve(static_cast<size_t>(workers_));
  for (int i = 0; i < workers_; ++i) threads_.emplace_back([this, i] { Work(i); });
}

ComputePool::Core::~Core() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    work_ready_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status ComputePool::Core::Submit(StepTask* task) {
  assert(task->model != nullptr);
  task->queued_at = clock_->Now();
  absl::MutexLock lock(&mu_);
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (queued_steps_ >= options_.max_queued_steps) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server's queue is full: ", queued_steps_, " steps wait, the most it holds"));
  }
  ++queued_steps_;
  QueueOf(task->model)->steps.PushBack(task);
  work_ready_.Signal();
  return absl::OkStatus();
}

absl::Status ComputePool::Core::Submit(SequenceTask* task) {
  assert(task->model != nullptr);
  absl::MutexLock lock(&mu_);
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (sequences_.size() >= options_.max_queued_sequences) {
    return absl::ResourceExhaustedError(absl::StrCat("the server's queue is full: ", sequences_.size(),
                                                     " sequences wait or run, the most it holds"));
  }
  sequences_.Push(task);
  work_ready_.Signal();
  return absl::OkStatus();
}

ComputePool::Core::ModelQueue* ComputePool::Core::QueueOf(const LoadedModel* model) {
  ModelQueue*& queue = queue_of_[model];
  if (queue != nullptr) return queue;
  if (spare_queues_.empty()) {
    all_queues_.push_back(std::make_unique<ModelQueue>());
    queue = all_queues_.back().get();
  } else {
    queue = spare_queues_.PopFront();
  }
  queue->model = model;
  turns_.PushBack(queue);
  return queue;
}

void ComputePool::Core::TakeSteps(std::vector<StepTask*>* tasks) {
  ModelQueue* queue = turns_.PopFront();
  size_t rows = 0;
  do {
    StepTask* task = queue->steps.PopFront();
    rows += task->rows.size();
    tasks->push_back(task);
    --queued_steps_;
  } while (!queue->steps.empty() &&
           rows + queue->steps.front()->rows.size() <= size_t{BucketSet::kMaxBatchSize});
  if (!queue->steps.empty()) {
    turns_.PushBack(queue);
    return;
  }
  queue_of_.erase(queue->model);
  spare_queues_.PushBack(queue);
}

bool ComputePool::Core::Take(Worker* worker) {
  worker->tasks.clear();
  worker->turn.reset();
  absl::MutexLock lock(&mu_);
  while (turns_.empty() && !sequences_.HasTurn(worker->index)) {
    if (stopping_ && sequences_.size() == 0) return false;
    ++idle_workers_;
    work_ready_.Wait(&mu_);
    --idle_workers_;
  }
  if (!sequences_.HasTurn(worker->index) || (worker->steps_next && !turns_.empty())) {
    TakeSteps(&worker->tasks);
    worker->steps_next = false;
  } else {
    worker->turn = sequences_.Take(worker->index);
    worker->steps_next = true;
  }
  // Slices come free without a submit: whoever takes work wakes the next.
  if (!turns_.empty() || sequences_.HasTurn(worker->index)) work_ready_.Signal();
  return true;
}

void ComputePool::Core::Work(int index) {
  const SingleOmpThread one_thread;
  Worker worker;
  worker.index = index;
  worker.tasks.reserve(size_t{BucketSet::kMaxBatchSize});
  worker.rows.reserve(size_t{BucketSet::kMaxBatchSize});
  while (Take(&worker)) {
    if (worker.turn.has_value()) {
      RunTurn(*worker.turn);
    } else {
      RunSteps(&worker);
    }
  }
}

void ComputePool::Core::RunSteps(Worker* worker) {
  const absl::Time begun = clock_->Now();
  absl::Time oldest = begun;
  size_t kept = 0;
  worker->rows.clear();
  for (StepTask* task : worker->tasks) {
    if (task->deadline < begun) {
      task->OnStepDone(absl::DeadlineExceededError("the step's deadline passed while it waited"));
      continue;
    }
    oldest = std::min(oldest, task->queued_at);
    worker->rows.insert(worker->rows.end(), task->rows.begin(), task->rows.end());
    worker->tasks[kept++] = task;
  }
  if (kept == 0) return;
  worker->tasks.resize(kept);
  // The tasks, and with them what pins the model, may be gone once they are told.
  const LoadedModel& model = *worker->tasks.front()->model;
  const absl::Status status = model.replica(worker->index).RunSteps(worker->rows);
  if (options_.observe_batch) {
    options_.observe_batch(model, static_cast<int64_t>(worker->rows.size()), begun - oldest,
                           clock_->Now() - begun);
  }
  for (StepTask* task : worker->tasks) task->OnStepDone(status);
}

void ComputePool::Core::RunTurn(const SequenceQueue::Turn& turn) {
  const absl::Status status = SequenceQueue::Run(turn, turn.task->model->replica(turn.worker), clock_->Now());
  std::optional<absl::Status> end;
  {
    absl::MutexLock lock(&mu_);
    end = sequences_.Finish(turn, status, idle_workers_ > 0);
    if (sequences_.LeavesToOthers(turn.worker)) work_ready_.Signal();
    if (stopping_ && sequences_.size() == 0) work_ready_.SignalAll();
  }
  if (!end.has_value()) return;
  turn.task->run.reset();
  turn.task->OnSequenceDone(*end);
}

ComputePool::ComputePool(Options options, Clock* clock)
    : core_(std::make_unique<Core>(std::move(options), clock)) {}

ComputePool::~ComputePool() = default;

int ComputePool::num_workers() const { return core_->num_workers(); }

absl::Status ComputePool::SubmitStep(StepTask* task) { return core_->Submit(task); }

absl::Status ComputePool::SubmitSequence(SequenceTask* task) { return core_->Submit(task); }

}  // namespace gruserve

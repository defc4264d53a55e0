#include "core/runtime/compute_pool.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/bucket_set.h"
#include "core/engine/omp_threads.h"

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
  void PushFront(Node* node) {
    node->next_queued = head_;
    if (empty()) tail_ = node;
    head_ = node;
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

  int num_workers() const { return static_cast<int>(threads_.size()); }
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
  };

  void Work(int index) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for work: fills `worker->tasks` or returns a sequence. False at the end.
  bool Take(Worker* worker, SequenceTask** sequence) ABSL_LOCKS_EXCLUDED(mu_);
  void TakeSteps(std::vector<StepTask*>* tasks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ModelQueue* QueueOf(const LoadedModel* model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunSteps(Worker* worker) ABSL_LOCKS_EXCLUDED(mu_);
  void AdvanceSequence(int worker, SequenceTask* task) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  Clock* const clock_;
  std::vector<std::thread> threads_;

  absl::Mutex mu_;
  absl::CondVar work_ready_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t queued_steps_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t live_sequences_ ABSL_GUARDED_BY(mu_) = 0;
  TaskQueue<SequenceTask> sequences_ ABSL_GUARDED_BY(mu_);
  // Models with ready steps, in the order of their turns; a model is in
  // `queue_of_` only while it is here, so that an unloaded one leaves no trace.
  TaskQueue<ModelQueue> turns_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const LoadedModel*, ModelQueue*> queue_of_ ABSL_GUARDED_BY(mu_);
  TaskQueue<ModelQueue> spare_queues_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<ModelQueue>> all_queues_ ABSL_GUARDED_BY(mu_);
};

ComputePool::Core::Core(Options options, Clock* clock) : options_(std::move(options)), clock_(clock) {
  const int workers = options_.num_workers > 0 ? options_.num_workers : UsableProcessors();
  threads_.reserve(static_cast<size_t>(workers));
  for (int i = 0; i < workers; ++i) threads_.emplace_back([this, i] { Work(i); });
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
  if (live_sequences_ >= options_.max_queued_sequences) {
    return absl::ResourceExhaustedError(absl::StrCat("the server's queue is full: ", live_sequences_,
                                                     " sequences wait or run, the most it holds"));
  }
  ++live_sequences_;
  sequences_.PushBack(task);
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

bool ComputePool::Core::Take(Worker* worker, SequenceTask** sequence) {
  worker->tasks.clear();
  *sequence = nullptr;
  absl::MutexLock lock(&mu_);
  while (turns_.empty() && sequences_.empty()) {
    if (stopping_) return false;
    work_ready_.Wait(&mu_);
  }
  if (sequences_.empty() || (worker->steps_next && !turns_.empty())) {
    TakeSteps(&worker->tasks);
    worker->steps_next = false;
  } else {
    *sequence = sequences_.PopFront();
    worker->steps_next = true;
  }
  return true;
}

void ComputePool::Core::Work(int index) {
  const SingleOmpThread one_thread;
  Worker worker;
  worker.index = index;
  worker.tasks.reserve(size_t{BucketSet::kMaxBatchSize});
  worker.rows.reserve(size_t{BucketSet::kMaxBatchSize});
  SequenceTask* sequence = nullptr;
  while (Take(&worker, &sequence)) {
    if (sequence != nullptr) {
      AdvanceSequence(index, sequence);
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

void ComputePool::Core::AdvanceSequence(int worker, SequenceTask* task) {
  absl::Status status;
  if (task->cancelled.load(std::memory_order_relaxed)) {
    status = absl::CancelledError("the call was cancelled");
  } else if (task->run == nullptr && task->deadline < clock_->Now()) {
    status = absl::DeadlineExceededError("the deadline passed while the sequence waited");
  } else {
    Replica& replica = task->model->replica(worker);
    if (task->run == nullptr) task->run = replica.StartSequence(task->call);
    if (!task->run->done()) status = task->run->Advance(replica);
    if (status.ok() && !task->run->done()) {
      // Back to the front: the oldest finishes first, and holds its memory least.
      absl::MutexLock lock(&mu_);
      sequences_.PushFront(task);
      if (!turns_.empty()) work_ready_.Signal();  // This worker takes the steps now.
      return;
    }
  }
  task->run.reset();
  {
    absl::MutexLock lock(&mu_);
    --live_sequences_;
  }
  task->OnSequenceDone(status);
}

ComputePool::ComputePool(Options options, Clock* clock)
    : core_(std::make_unique<Core>(std::move(options), clock)) {}

ComputePool::~ComputePool() = default;

int ComputePool::num_workers() const { return core_->num_workers(); }

absl::Status ComputePool::SubmitStep(StepTask* task) { return core_->Submit(task); }

absl::Status ComputePool::SubmitSequence(SequenceTask* task) { return core_->Submit(task); }

}  // namespace gruserve

#include "core/runtime/step_queue.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/engine/bucket_set.h"

namespace gruserve {
namespace {

bool LaterDeadline(const StepTask* a, const StepTask* b) { return a->deadline > b->deadline; }

int64_t Rows(const StepTask* task) { return static_cast<int64_t>(task->rows.size()); }

}  // namespace

StepQueue::ModelQueue* StepQueue::QueueOf(const LoadedModel* model) {
  std::unique_ptr<ModelQueue>& queue = queue_of_[model];
  if (queue == nullptr) {
    if (spare_.empty()) {
      queue = std::make_unique<ModelQueue>();
    } else {
      queue = std::move(spare_.back());
      spare_.pop_back();
    }
    queue->model = model;
  }
  return queue.get();
}

void StepQueue::Push(StepTask* task) {
  ModelQueue* queue = QueueOf(task->model);
  if (task->deadline == absl::InfiniteFuture()) {
    queue->in_order.PushBack(task);
  } else {
    queue->by_deadline.push_back(task);
    std::push_heap(queue->by_deadline.begin(), queue->by_deadline.end(), LaterDeadline);
  }
  queue->rows += Rows(task);
  ++waiting_;
  Settle(queue);
}

void StepQueue::Settle(ModelQueue* queue) {
  if (queue->has_turn || queue->empty()) return;
  if (queue->running > 0 && queue->rows < queue->model->step_costs().worthwhile_rows()) return;
  queue->has_turn = true;
  turns_.PushBack(queue);
}

StepTask* StepQueue::PopNearest(ModelQueue* queue) {
  std::pop_heap(queue->by_deadline.begin(), queue->by_deadline.end(), LaterDeadline);
  StepTask* task = queue->by_deadline.back();
  queue->by_deadline.pop_back();
  return task;
}

void StepQueue::Take(int workers, std::vector<StepTask*>* batch) {
  ModelQueue* queue = turns_.PopFront();
  queue->has_turn = false;
  const int64_t share =
      std::max(queue->model->step_costs().worthwhile_rows(), (queue->rows + workers - 1) / workers);
  const int64_t most = std::min(share, BucketSet::kMaxBatchSize);
  int64_t rows = 0;
  const auto take = [&](bool nearest, int64_t limit) {
    while (nearest ? !queue->by_deadline.empty() : !queue->in_order.empty()) {
      const StepTask* next = nearest ? queue->by_deadline.front() : queue->in_order.front();
      if (rows > 0 && rows + Rows(next) > limit) return;
      batch->push_back(nearest ? PopNearest(queue) : queue->in_order.PopFront());
      rows += Rows(next);
      --waiting_;
    }
  };
  take(/*nearest=*/true, queue->in_order.empty() ? most : std::max<int64_t>(most / 2, 1));
  take(/*nearest=*/false, most);
  take(/*nearest=*/true, most);
  queue->rows -= rows;
  ++queue->running;
  Settle(queue);
}

void StepQueue::Done(const LoadedModel* model) {
  const auto found = queue_of_.find(model);
  ModelQueue* queue = found->second.get();
  --queue->running;
  if (queue->running > 0 || !queue->empty()) {
    Settle(queue);
    return;
  }
  spare_.push_back(std::move(found->second));
  queue_of_.erase(found);
}

}  // namespace gruserve

#include "core/runtime/step_queue.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/base/rounding.h"
#include "core/engine/bucket_set.h"

namespace gruserve {
namespace {

bool LaterDue(const StepTask* a, const StepTask* b) { return a->due > b->due; }
bool LaterDeadline(const StepTask* a, const StepTask* b) { return a->deadline > b->deadline; }

template <typename Later>
void PushHeap(std::vector<StepTask*>* heap, StepTask* task, Later later) {
  heap->push_back(task);
  std::push_heap(heap->begin(), heap->end(), later);
}

template <typename Later>
StepTask* PopHeap(std::vector<StepTask*>* heap, Later later) {
  std::pop_heap(heap->begin(), heap->end(), later);
  StepTask* const task = heap->back();
  heap->pop_back();
  return task;
}

int64_t Rows(const StepTask* task) { return static_cast<int64_t>(task->rows.size()); }

}  // namespace

StepQueue::ModelQueue* StepQueue::QueueOf(const LoadedModel* model) {
  std::unique_ptr<ModelQueue>& queue = queue_of_[model];
  if (queue == nullptr) {
    if (spare_.empty()) {
      queue = std::make_unique<ModelQueue>(&shares_);
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
  Tenant* const tenant = shares_.Of(*task);
  shares_.Enter(tenant);
  if (task->due != absl::InfiniteFuture()) {
    PushHeap(&queue->by_due, task, LaterDue);
  } else if (task->deadline != absl::InfiniteFuture()) {
    PushHeap(&queue->by_deadline, task, LaterDeadline);
  } else {
    queue->in_order.Push(task, tenant);
  }
  queue->rows += Rows(task);
  waiting_rows_ += Rows(task);
  Settle(queue);
}

void StepQueue::Settle(ModelQueue* queue) {
  if (queue->has_turn || queue->empty()) return;
  if (queue->running > 0 && queue->rows < queue->model->step_costs().worthwhile_rows()) return;
  queue->has_turn = true;
  turns_.push_back(queue);
}

int64_t StepQueue::RowsOfOnly(const LoadedModel* model) const {
  const auto found = queue_of_.find(model);
  return found != queue_of_.end() && found->second->rows == waiting_rows_ ? found->second->rows : 0;
}

absl::Duration StepQueue::CostOfNext() const {
  const ModelQueue& next = **NextTurn();
  return next.model->step_costs().Of(next.rows);
}

bool StepQueue::due() const {
  return std::any_of(turns_.begin(), turns_.end(),
                     [](const ModelQueue* queue) { return !queue->by_due.empty(); });
}

std::vector<StepQueue::ModelQueue*>::const_iterator StepQueue::NextTurn() const {
  // The nearest due time; else the tenant that has had least; else the turn.
  const auto due = [](const ModelQueue* queue) {
    return queue->by_due.empty() ? absl::InfiniteFuture() : queue->by_due.front()->due;
  };
  const auto served = [this](const ModelQueue* queue) {
    return queue->in_order.empty() ? shares_.virtual_time() : shares_.VirtualTime(queue->in_order.next());
  };
  return std::min_element(turns_.begin(), turns_.end(), [&](const ModelQueue* a, const ModelQueue* b) {
    return due(a) != due(b) ? due(a) < due(b) : served(a) < served(b);
  });
}

StepQueue::ModelQueue* StepQueue::TakeTurn() {
  const auto next = NextTurn();
  ModelQueue* const queue = *next;
  turns_.erase(next);
  queue->has_turn = false;
  return queue;
}

void StepQueue::Charge(StepTask* task) {
  Tenant* const tenant = shares_.Of(*task);
  shares_.Leave(tenant);
  shares_.Charge(tenant, task->model->step_costs().row_in_largest_batch() * Rows(task));
}

void StepQueue::Take(int workers, std::vector<StepTask*>* batch) {
  ModelQueue* queue = TakeTurn();
  const int64_t share =
      std::max(queue->model->step_costs().worthwhile_rows(), CeilDivide(queue->rows, workers));
  const int64_t most = std::min(share, BucketSet::kMaxBatchSize);
  if (!queue->in_order.empty()) shares_.Advance(queue->in_order.next());
  int64_t rows = 0;
  // Whether a task with so many rows may come along.
  const auto fits = [&](const StepTask* task, int64_t limit) {
    return rows == 0 || rows + Rows(task) <= limit;
  };
  const auto take = [&](StepTask* task) {
    batch->push_back(task);
    rows += Rows(task);
    Charge(task);
  };
  const auto take_nearest = [&](int64_t limit) {
    while (!queue->by_deadline.empty() && fits(queue->by_deadline.front(), limit))
      take(PopHeap(&queue->by_deadline, LaterDeadline));
  };
  while (!queue->by_due.empty() && fits(queue->by_due.front(), most)) take(PopHeap(&queue->by_due, LaterDue));
  take_nearest(queue->in_order.empty() ? most : rows + std::max<int64_t>((most - rows) / 2, 1));
  while (!queue->in_order.empty() && fits(queue->in_order.front(), most)) take(queue->in_order.PopFront());
  take_nearest(most);
  queue->rows -= rows;
  waiting_rows_ -= rows;
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

// The steps that wait for a worker, by model, and who may take how many of them.
//
// Models take turns. Within a model, steps with the nearest deadlines come first,
// in up to half of each batch, then the others in their order. A second worker
// joins a model only for as many rows as are worth one: fewer wait for the worker
// that runs the model now, and make its next batch larger, since a row in a batch
// costs a fraction of a row alone.
//
// Not thread-safe: the pool's lock guards it. Owns no tasks.

#ifndef GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/runtime/executor.h"
#include "core/runtime/task_queue.h"

namespace gruserve {

class StepQueue {
 public:
  // No step waits, of any model.
  bool empty() const { return waiting_ == 0; }
  // Whether there is a batch to take now.
  bool ready() const { return !turns_.empty(); }

  void Push(StepTask* task);

  // Takes the next batch of the model whose turn it is: everything, up to the
  // largest bucket; where `workers` (at least 1) could take a share each, no more
  // than this one's share. REQUIRES: ready().
  void Take(int workers, std::vector<StepTask*>* batch);

  // A batch of `model` that was taken has run and is delivered.
  void Done(const LoadedModel* model);

 private:
  // The steps of one model. In `turns_` while a batch of it may be taken.
  struct ModelQueue {
    const LoadedModel* model = nullptr;
    TaskQueue<StepTask> in_order;
    std::vector<StepTask*> by_deadline;  // A heap, nearest first.
    int64_t rows = 0;
    int running = 0;  // Workers that run it.
    bool has_turn = false;
    ModelQueue* next_queued = nullptr;

    bool empty() const { return in_order.empty() && by_deadline.empty(); }
  };

  ModelQueue* QueueOf(const LoadedModel* model);
  // Gives it a turn, where there is a batch to take.
  void Settle(ModelQueue* queue);
  static StepTask* PopNearest(ModelQueue* queue);

  int64_t waiting_ = 0;
  TaskQueue<ModelQueue> turns_;
  // Only models with steps that wait or run, so that an unloaded one leaves no trace.
  absl::flat_hash_map<const LoadedModel*, std::unique_ptr<ModelQueue>> queue_of_;
  std::vector<std::unique_ptr<ModelQueue>> spare_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_

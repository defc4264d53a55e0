// The steps that wait for a worker, by model, and who may take how many of them.
//
// Models take turns, and within a model steps their order, but
//   a step with a due time goes before all others, the nearest first, and so does
//   its model: who admits such steps must not admit too many;
//   the nearest deadlines come next, in up to half of what is left of a batch;
//   the rest is dealt out fairly among tenants (tenant_shares.h), within a model and
//   between models, where a step is as long as its rows are in the largest batch.
// A second worker joins a model only for as many rows as are worth one: fewer wait for
// the worker that runs the model now, and make its next batch larger, since a row in a
// batch costs a fraction of a row alone.
//
// Not thread-safe: the pool's lock guards it. Owns no tasks.

#ifndef GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/runtime/executor.h"
#include "core/runtime/fair_queue.h"
#include "core/runtime/tenant_shares.h"

namespace gruserve {

class StepQueue {
 public:
  // No step waits, of any model.
  bool empty() const { return waiting_rows_ == 0; }
  // Whether there is a batch to take now.
  bool ready() const { return !turns_.empty(); }
  // Rows that wait, where all are of `model`; otherwise 0.
  int64_t RowsOfOnly(const LoadedModel* model) const;
  // What everything of the model whose turn it is costs as one batch. REQUIRES: ready().
  absl::Duration CostOfNext() const;
  // Whether that batch has a step with a due time.
  bool due() const;

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
    explicit ModelQueue(const TenantShares* shares) : in_order(shares) {}

    const LoadedModel* model = nullptr;
    std::vector<StepTask*> by_due;       // A heap, nearest first.
    std::vector<StepTask*> by_deadline;  // A heap, nearest first.
    FairQueue<StepTask> in_order;
    int64_t rows = 0;
    int running = 0;  // Workers that run it.
    bool has_turn = false;

    bool empty() const { return in_order.empty() && by_deadline.empty() && by_due.empty(); }
  };

  ModelQueue* QueueOf(const LoadedModel* model);
  // Gives it a turn, where there is a batch to take.
  void Settle(ModelQueue* queue);
  // Whose turn it is.
  std::vector<ModelQueue*>::const_iterator NextTurn() const;
  // Takes that model out of the turns.
  ModelQueue* TakeTurn();
  // Counts what leaves the queue against its tenant.
  void Charge(StepTask* task);

  int64_t waiting_rows_ = 0;  // Of all models.
  TenantShares shares_{&Tenant::steps};
  std::vector<ModelQueue*> turns_;
  // Only models with steps that wait or run, so that an unloaded one leaves no trace.
  absl::flat_hash_map<const LoadedModel*, std::unique_ptr<ModelQueue>> queue_of_;
  std::vector<std::unique_ptr<ModelQueue>> spare_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STEP_QUEUE_H_

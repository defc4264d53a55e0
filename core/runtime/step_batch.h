// Steps of one model that run together: taken from the queue, run on a replica, told.
//
// Not thread-safe: whoever has the slot owns it. Take and GiveBack are called under the
// lock of the queue, Run with no lock held.

#ifndef GRUSERVE_CORE_RUNTIME_STEP_BATCH_H_
#define GRUSERVE_CORE_RUNTIME_STEP_BATCH_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/runtime/step_queue.h"

namespace gruserve {

class StepBatch {
 public:
  // Model, rows, how long the oldest step had waited, how long they ran.
  using Observe =
      std::function<void(const LoadedModel&, int64_t rows, absl::Duration waited, absl::Duration ran)>;

  StepBatch();

  // Takes a share for one of `workers`, and answers how many tasks those are. REQUIRES:
  // queue.ready(), and what was taken before is given back.
  int64_t Take(StepQueue& queue, int workers);

  // Runs them on the model's replica `replica_index` and tells every task. `observe` may be
  // empty.
  void Run(int replica_index, Clock& clock, const Observe& observe);

  // Lets other workers have the model. Nothing where nothing was taken.
  void GiveBack(StepQueue& queue);

 private:
  const LoadedModel* model_ = nullptr;
  std::vector<StepTask*> tasks_;
  std::vector<StepRow> rows_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STEP_BATCH_H_

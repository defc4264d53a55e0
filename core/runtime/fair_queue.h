// Steps of one model that wait in their order, the tenant first that has had least
// (Tenant::steps). With one tenant it is first in, first out.
//
// Not thread-safe: the pool's lock guards it. Owns no tasks.

#ifndef GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_

#include <cstdint>
#include <vector>

#include "core/runtime/executor.h"
#include "core/runtime/task_queue.h"
#include "core/runtime/tenant.h"

namespace gruserve {

class FairQueue {
 public:
  bool empty() const { return lanes_.empty(); }

  // `tenant` outlives the step.
  void Push(StepTask* task, Tenant* tenant);

  // Virtual time of the tenant whose turn it is. REQUIRES: !empty().
  int64_t next_virtual_time() const { return Next().tenant->steps.virtual_time; }
  // The step whose turn it is. REQUIRES: !empty().
  const StepTask* front() const { return Next().tasks.front(); }
  StepTask* PopFront();

 private:
  // The steps of one tenant; it goes with the last of them.
  struct Lane {
    Tenant* tenant;
    TaskQueue<StepTask> tasks;
  };

  const Lane& Next() const;

  std::vector<Lane> lanes_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_

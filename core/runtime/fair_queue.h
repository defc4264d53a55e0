// Tasks that wait in their order, the tenant first that has had least (TenantShares).
// With one tenant it is first in, first out.
//
// Not thread-safe: the pool's lock guards it. Owns no tasks, nor the shares, which it
// only reads: its user counts who waits and what it had.

#ifndef GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/runtime/task_queue.h"
#include "core/runtime/tenant.h"
#include "core/runtime/tenant_shares.h"

namespace gruserve {

template <typename Task>
class FairQueue {
 public:
  explicit FairQueue(const TenantShares* shares) : shares_(shares) {}

  bool empty() const { return lanes_.empty(); }
  int64_t size() const { return size_; }

  // `tenant` outlives the task.
  void Push(Task* task, Tenant* tenant) {
    auto lane =
        std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& other) { return other.tenant == tenant; });
    if (lane == lanes_.end()) lane = lanes_.insert(lanes_.end(), Lane{tenant, {}});
    lane->tasks.PushBack(task);
    ++size_;
  }

  // Whose turn it is. REQUIRES: !empty().
  const Tenant* next() const { return lanes_[NextLane()].tenant; }
  // The task whose turn it is. REQUIRES: !empty().
  Task* front() const { return lanes_[NextLane()].tasks.front(); }
  Task* PopFront() {
    const size_t index = NextLane();
    TaskQueue<Task>& tasks = lanes_[index].tasks;
    Task* const task = tasks.PopFront();
    if (tasks.empty()) lanes_.erase(lanes_.begin() + static_cast<std::ptrdiff_t>(index));
    --size_;
    return task;
  }

  // Offers `wants` what waits, `first`'s tasks before those of others, each tenant's in
  // their order; takes out what it says yes to.
  template <typename Wants>
  void TakeIf(const Tenant* first, Wants wants) {
    for (const bool own : {true, false}) {
      for (Lane& lane : lanes_) {
        if ((lane.tenant == first) == own) size_ -= lane.tasks.TakeIf(wants);
      }
    }
    std::erase_if(lanes_, [](const Lane& lane) { return lane.tasks.empty(); });
  }

 private:
  // The tasks of one tenant; it goes with the last of them.
  struct Lane {
    Tenant* tenant;
    TaskQueue<Task> tasks;
  };

  size_t NextLane() const {
    // The first of equals.
    const auto next = std::min_element(lanes_.begin(), lanes_.end(), [this](const Lane& a, const Lane& b) {
      return shares_->VirtualTime(a.tenant) < shares_->VirtualTime(b.tenant);
    });
    return static_cast<size_t>(next - lanes_.begin());
  }

  const TenantShares* shares_;
  std::vector<Lane> lanes_;
  int64_t size_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_FAIR_QUEUE_H_

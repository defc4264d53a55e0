#include "core/runtime/fair_queue.h"

#include <algorithm>
#include <cstddef>

namespace gruserve {

const FairQueue::Lane& FairQueue::Next() const {
  return *std::min_element(lanes_.begin(), lanes_.end(), [](const Lane& a, const Lane& b) {
    return a.tenant->steps.virtual_time < b.tenant->steps.virtual_time;
  });
}

void FairQueue::Push(StepTask* task, Tenant* tenant) {
  auto lane =
      std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& other) { return other.tenant == tenant; });
  if (lane == lanes_.end()) lane = lanes_.insert(lanes_.end(), Lane{tenant, {}});
  lane->tasks.PushBack(task);
}

StepTask* FairQueue::PopFront() {
  const auto index = &Next() - lanes_.data();
  Lane& lane = lanes_[static_cast<size_t>(index)];
  StepTask* const task = lane.tasks.PopFront();
  if (lane.tasks.empty()) lanes_.erase(lanes_.begin() + index);
  return task;
}

}  // namespace gruserve

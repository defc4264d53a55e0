#include "core/session/session_activity.h"

#include <utility>

#include "core/session/session.h"

namespace gruserve {

void SessionActivity::Step::OnStepDone(const absl::Status& status) {
  activity->keeper->FinishStep(*activity, status);
}

void SessionActivity::Chunk::OnSequenceDone(const absl::Status& status) {
  activity->keeper->FinishChunk(*activity, status);
}

std::unique_ptr<SessionActivity> ActivityShelf::Take() {
  {
    const absl::MutexLock lock(&mu_);
    if (!spare_.empty()) {
      std::unique_ptr<SessionActivity> activity = std::move(spare_.back());
      spare_.pop_back();
      return activity;
    }
  }
  auto activity = std::make_unique<SessionActivity>();
  activity->step.activity = activity.get();
  activity->chunk.activity = activity.get();
  return activity;
}

void ActivityShelf::Put(std::unique_ptr<SessionActivity> activity) {
  const absl::MutexLock lock(&mu_);
  if (spare_.size() < kMostSpare) spare_.push_back(std::move(activity));
}

}  // namespace gruserve

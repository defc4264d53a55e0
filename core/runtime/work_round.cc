#include "core/runtime/work_round.h"

#include <utility>

#include "core/runtime/executor.h"

namespace gruserve {
namespace {

thread_local WorkRound* current_round = nullptr;

}  // namespace

WorkRound::WorkRound(Thread thread) : thread_(thread), joined_(current_round != nullptr) {
  if (!joined_) current_round = this;
}

WorkRound::~WorkRound() {
  if (joined_) return;
  current_round = nullptr;
  if (!steps_.empty()) Publish(thread_ == Thread::kCaller && !parted_);
  for (const auto& listener : listeners_) listener->OnRoundEnd();
}

WorkRound* WorkRound::Current() { return current_round; }

void WorkRound::Add(StepTask* task, StepPublisher* publisher) {
  if (publisher_ != publisher && !steps_.empty()) Publish(/*from_caller=*/false);
  publisher_ = publisher;
  steps_.PushBack(task);
  rows_ += static_cast<int64_t>(task->rows.size());
  if (rows_ < task->model->step_costs().worthwhile_rows()) return;
  parted_ = true;
  Publish(/*from_caller=*/false);
}

void WorkRound::Publish(bool from_caller) {
  rows_ = 0;
  publisher_->Publish(std::exchange(steps_, {}), from_caller);
}

}  // namespace gruserve

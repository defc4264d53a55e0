#include "tests/support/hand_cranked_executor.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gruserve {
namespace {

absl::Status RunStep(const StepTask& task) { return task.model->replica(0).RunSteps(task.rows); }

void Spoil(const SequenceCall& call, const Network& network) {
  for (float* state : call.states) std::fill_n(state, network.state_size(), NAN);
}

absl::Status RunSequence(const SequenceTask& task) { return task.model->replica(0).RunSequence(task.call); }

}  // namespace

absl::Status HandCrankedExecutor::SubmitStep(StepTask* task) { return Submit(task); }

absl::Status HandCrankedExecutor::SubmitSequence(SequenceTask* task) { return Submit(task); }

absl::Status HandCrankedExecutor::Submit(Task task) {
  absl::MutexLock lock(&mu_);
  absl::Status refused = std::exchange(refuse_next_, absl::OkStatus());
  if (refused.ok()) tasks_.push_back(task);
  return refused;
}

bool HandCrankedExecutor::RunOne() {
  Task task;
  absl::Status failed;
  {
    absl::MutexLock lock(&mu_);
    if (tasks_.empty()) return false;
    task = tasks_.front();
    tasks_.pop_front();
    failed = std::exchange(fail_next_, absl::OkStatus());
  }
  const absl::Time now = clock_->Now();
  const absl::Status late = absl::DeadlineExceededError("the deadline passed while it waited");
  if (StepTask* const* step = std::get_if<StepTask*>(&task)) {
    if (failed.ok()) failed = (*step)->deadline < now ? late : RunStep(**step);
    (*step)->OnStepDone(failed);
    return true;
  }
  SequenceTask* sequence = std::get<SequenceTask*>(task);
  if (!failed.ok()) {
    Spoil(sequence->call, sequence->model->network());
  } else if (sequence->cancelled) {
    failed = absl::CancelledError("the call was cancelled");
  } else {
    failed = sequence->deadline < now ? late : RunSequence(*sequence);
  }
  sequence->OnSequenceDone(failed);
  return true;
}

int HandCrankedExecutor::RunAll() {
  int count = 0;
  while (RunOne()) ++count;
  return count;
}

size_t HandCrankedExecutor::waiting() const {
  absl::MutexLock lock(&mu_);
  return tasks_.size();
}

void HandCrankedExecutor::FailNext(absl::Status status) {
  absl::MutexLock lock(&mu_);
  fail_next_ = std::move(status);
}

void HandCrankedExecutor::RefuseNext(absl::Status status) {
  absl::MutexLock lock(&mu_);
  refuse_next_ = std::move(status);
}

const StepTask& HandCrankedExecutor::next_step() const {
  absl::MutexLock lock(&mu_);
  return *std::get<StepTask*>(tasks_.front());
}

const SequenceTask& HandCrankedExecutor::next_sequence() const {
  absl::MutexLock lock(&mu_);
  return *std::get<SequenceTask*>(tasks_.front());
}

}  // namespace gruserve

// How a session's operation runs: what the pump does with the one it has taken.

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/engine/bucket_set.h"
#include "core/session/session.h"

namespace gruserve {

// Answers whether the executor has it now; if not, `result_` is complete.
bool Session::Start() {
  if (current_.read != nullptr || !allowed_) return false;
  result_.status = CheckValues();
  if (!result_.status.ok()) return false;
  switch (current_.op.kind) {
    case SessionOpKind::kSetState:
      SetStateNow();
      return false;
    case SessionOpKind::kClose:
      CloseNow();
      return false;
    case SessionOpKind::kStep:
      break;
  }
  // A batch wider than a bucket runs in several calls: as a chunk, so that one
  // that fails half-way leaves the state as it was.
  const bool chunk = current_.op.time_steps > 1 || rows() > BucketSet::kMaxBatchSize;
  absl::Status submitted = chunk ? StartChunk() : StartStep();
  if (submitted.ok()) return true;  // Already over, perhaps: touch nothing.
  self_.reset();
  if (chunk) state_.EndDraft(/*keep=*/false);
  if (submitted.code() == absl::StatusCode::kUnavailable) result_.reason = SessionErrorReason::kDraining;
  if (submitted.code() == absl::StatusCode::kResourceExhausted) result_.retry_after_ms = 10;
  result_.status = std::move(submitted);
  result_.output.clear();
  return false;
}

absl::Status Session::CheckValues() const {
  const GruConfig& config = model()->config();
  const SessionOp& op = current_.op;
  const auto size = static_cast<int64_t>(op.values.size());
  if (op.kind == SessionOpKind::kStep) {
    const int64_t step_size = rows() * config.input_size;
    if (op.time_steps >= 1 && size % step_size == 0 && size / step_size == op.time_steps) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("input has ", size, " values for ", op.time_steps,
                                                   " steps, session \"", id(), "\" expects ", step_size,
                                                   " a step"));
  }
  if (size == 0 || size == rows() * config.state_size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("state has ", size, " values, session \"", id(),
                                                 "\" expects ", rows() * config.state_size()));
}

absl::Status Session::StartStep() {
  const GruConfig& config = model()->config();
  result_.output.resize(static_cast<size_t>(rows() * config.output_size()));
  step_rows_.resize(static_cast<size_t>(rows()));
  for (int64_t row = 0; row < rows(); ++row) {
    step_rows_[static_cast<size_t>(row)] = {current_.op.values.data() + row * config.input_size,
                                            state_.rows()[static_cast<size_t>(row)],
                                            result_.output.data() + row * config.output_size()};
  }
  step_run_.model = model().get();
  step_run_.rows = step_rows_;
  step_run_.deadline = current_.op.deadline;
  self_ = shared_from_this();
  return executor_->SubmitStep(&step_run_);
}

absl::Status Session::StartChunk() {
  const GruConfig& config = model()->config();
  result_.output.resize(static_cast<size_t>(current_.op.time_steps * rows() * config.output_size()));
  SequenceCall& call = chunk_run_.call;
  call = {};
  call.time_steps = current_.op.time_steps;
  call.batch_size = rows();
  call.input = current_.op.values.data();
  call.input_time_stride = rows() * config.input_size;
  call.input_batch_stride = config.input_size;
  call.output = result_.output.data();
  call.output_time_stride = rows() * config.output_size();
  call.output_batch_stride = config.output_size();
  call.states = state_.StartDraft();
  chunk_run_.model = model().get();
  chunk_run_.deadline = current_.op.deadline;
  self_ = shared_from_this();
  return executor_->SubmitSequence(&chunk_run_);
}

void Session::FinishStep(const absl::Status& status) {
  const std::shared_ptr<Session> self = std::move(self_);
  result_.status = status;
  if (!status.ok()) result_.output.clear();
  if (status.ok() && current_.op.return_state) result_.state = state_.Get();
  Complete();
  Pump();
}

void Session::FinishChunk(const absl::Status& status) {
  state_.EndDraft(/*keep=*/status.ok());
  FinishStep(status);
}

void Session::SetStateNow() {
  if (current_.op.deadline < clock_->Now()) {
    result_.status = absl::DeadlineExceededError("the operation's deadline passed while it waited");
    return;
  }
  state_.Set(current_.op.values);
  if (current_.op.return_state) result_.state = state_.Get();
}

void Session::CloseNow() {
  {
    absl::MutexLock lock(&mu_);
    ended_ = absl::NotFoundError(absl::StrCat("session \"", id(), "\" was closed"));
    holder_ = nullptr;
  }
  state_.Free();
  if (const auto owner = owner_.lock()) owner->OnClosed(*this, current_.sink.get());
}

}  // namespace gruserve

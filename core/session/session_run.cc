// How a session's operation runs: what the pump does with the one it has taken.

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/seeded_bug.h"
#include "core/engine/bucket_set.h"
#include "core/session/session.h"

namespace gruserve {

// Answers whether the executor has it now; if not, the result is complete.
bool Session::Start(SessionActivity& activity) {
  if (activity.current.between != nullptr || !activity.allowed) return false;
  activity.result.status = CheckValues(activity.current.op);
  if (!activity.result.status.ok()) return false;
  switch (activity.current.op.kind) {
    case SessionOpKind::kSetState:
      SetStateNow(activity);
      return false;
    case SessionOpKind::kClose:
      CloseNow(activity.current.sink.get());
      return false;
    case SessionOpKind::kStep:
      break;
  }
  // A batch wider than a bucket runs in several calls: as a chunk, so that one
  // that fails half-way leaves the state as it was.
  const bool chunk = activity.current.op.time_steps > 1 || rows() > BucketSet::kMaxBatchSize;
  absl::Status submitted = chunk ? StartChunk(activity) : StartStep(activity);
  if (submitted.ok()) return true;  // Already over, perhaps: touch nothing.
  activity.keeper.reset();
  activity.draft.reset();
  if (submitted.code() == absl::StatusCode::kUnavailable)
    activity.result.reason = SessionErrorReason::kDraining;
  if (submitted.code() == absl::StatusCode::kResourceExhausted)
    activity.result.retry_after_ms = kRetryAfterMs;
  activity.result.status = std::move(submitted);
  activity.result.output.clear();
  return false;
}

absl::Status Session::CheckValues(const SessionOp& op) const {
  const Network& network = state_.model().network();
  const auto size = static_cast<int64_t>(op.values.size());
  if (op.kind == SessionOpKind::kStep) {
    const int64_t step_size = rows() * network.input_size();
    if (op.time_steps >= 1 && size % step_size == 0 && size / step_size == op.time_steps) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("input has ", size, " values for ", op.time_steps,
                                                   " steps, session \"", id(), "\" expects ", step_size,
                                                   " a step"));
  }
  if (op.rewind_to >= 0) {
    if (kept_ != nullptr) return kept_->Find(op.rewind_to).status();
    return absl::FailedPreconditionError(
        absl::StrCat("session \"", id(), "\" keeps no states to rewind to: open it with keep_states"));
  }
  if (size == 0 || size == rows() * network.state_size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("state has ", size, " values, session \"", id(),
                                                 "\" expects ", rows() * network.state_size()));
}

absl::Status Session::StartStep(SessionActivity& activity) {
  const Network& network = state_.model().network();
  activity.result.output.resize(static_cast<size_t>(rows() * network.output_size()));
  activity.step_rows.resize(static_cast<size_t>(rows()));
  for (int64_t row = 0; row < rows(); ++row) {
    activity.step_rows[static_cast<size_t>(row)] = {
        activity.current.op.values.data() + row * network.input_size(),
        state_.rows()[static_cast<size_t>(row)], activity.result.output.data() + row * network.output_size()};
  }
  activity.step.model = &state_.model();
  activity.step.rows = activity.step_rows;
  activity.step.deadline = activity.current.op.deadline;
  activity.step.due = activity.due;
  activity.step.tenant = tenant_;
  activity.keeper = shared_from_this();
  Failpoint("step");
  return surroundings_->executor->SubmitStep(&activity.step);
}

absl::Status Session::StartChunk(SessionActivity& activity) {
  const Network& network = state_.model().network();
  activity.result.output.resize(
      static_cast<size_t>(activity.current.op.time_steps * rows() * network.output_size()));
  SequenceCall& call = activity.chunk.call;
  call = {};
  call.time_steps = activity.current.op.time_steps;
  call.batch_size = rows();
  call.input = activity.current.op.values.data();
  call.input_time_stride = rows() * network.input_size();
  call.input_batch_stride = network.input_size();
  call.output = activity.result.output.data();
  call.output_time_stride = rows() * network.output_size();
  call.output_batch_stride = network.output_size();
  call.states = activity.draft.emplace(state_.Copy()).rows();
  activity.chunk.model = &state_.model();
  activity.chunk.deadline = activity.current.op.deadline;
  activity.chunk.tenant = tenant_;
  activity.keeper = shared_from_this();
  return surroundings_->executor->SubmitSequence(&activity.chunk);
}

void Session::FinishStep(SessionActivity& activity, const absl::Status& status) {
  const std::shared_ptr<Session> self = std::move(activity.keeper);
  activity.result.status = status;
  Failpoint("computed");
  if (!status.ok()) activity.result.output.clear();
  if (status.ok() && Seeded(Bug::kOneBitIsWrong) && activity.result.index % 97 == 0)
    activity.result.output[0] += 1e-7f;
  if (status.ok() && activity.current.op.return_state) activity.result.state = state_.Get();
  Complete(activity);
  Pump(activity);
}

void Session::FinishChunk(SessionActivity& activity, const absl::Status& status) {
  Failpoint("chunk");
  if (status.ok()) state_.Swap(*activity.draft);
  activity.draft.reset();
  FinishStep(activity, status);
}

void Session::SetStateNow(SessionActivity& activity) {
  if (activity.current.op.deadline < surroundings_->clock->Now()) {
    activity.result.status = absl::DeadlineExceededError("the operation's deadline passed while it waited");
    return;
  }
  const SessionOp& op = activity.current.op;
  if (op.rewind_to >= 0) {
    if (!Seeded(Bug::kRewindDoesNothing)) state_.Set(**kept_->Find(op.rewind_to));
  } else if (!op.values.empty() || !Seeded(Bug::kResetDoesNothing)) {
    state_.Set(op.values);
  }
  Failpoint("state");
  if (activity.current.op.return_state) activity.result.state = state_.Get();
}

void Session::Retire(const absl::Status& why) {
  Between([self = shared_from_this(), why](bool alive) {
    if (alive) self->RetireNow(why);
  });
}

void Session::RetireNow(const absl::Status& why) {
  // What is stored of it is all of it.
  if (durability_ != nullptr) surroundings_->keeper->OnCheckpoint(shared_from_this(), MakeRecord());
  {
    absl::MutexLock lock(&mu_);
    ended_ = why;
    ended_reason_ = SessionErrorReason::kVersionRetired;
    holder_ = nullptr;
    real_time_.reset();
    if (durability_ != nullptr) durability_->lost = true;
  }
  state_.Free();
  if (const auto owner = surroundings_->owner.lock()) owner->OnRetired(*this, why);
  if (durability_ == nullptr) return;
  surroundings_->keeper->OnEvicted(claim().claim);
  DeliverHeld();
}

void Session::Carry(ModelHandle to) {
  Between([self = shared_from_this(), to = std::move(to)](bool alive) {
    if (alive) self->CarryNow(to);
  });
}

void Session::CarryNow(ModelHandle to) {
  if (&state_.model() == to.get() || !to->network().CanGoOnFrom(state_.model().network())) return;
  state_.MoveTo(to.get());
  bool tell = false;
  {
    absl::MutexLock lock(&mu_);
    model_.swap(to);  // What it was goes without the lock.
    bit_exact_ = false;
    tell = durability_ != nullptr && !std::exchange(durability_->moved, true);
  }
  if (const auto owner = surroundings_->owner.lock()) owner->OnCarried();
  // Its record is to name the model that it goes on with.
  if (tell) surroundings_->keeper->OnMoved(shared_from_this());
}

void Session::CloseNow(const SessionSink* closer) {
  {
    absl::MutexLock lock(&mu_);
    ended_ = absl::NotFoundError(absl::StrCat("session \"", id(), "\" was closed"));
    holder_ = nullptr;
    real_time_.reset();
  }
  state_.Free();
  if (const auto owner = surroundings_->owner.lock()) owner->OnClosed(*this, closer);
  if (durability_ != nullptr) surroundings_->keeper->OnClosed(claim().claim);
}

}  // namespace gruserve

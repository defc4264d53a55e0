#include "server/step_stream_reactor.h"

#include <utility>

#include "core/base/failpoint.h"
#include "server/grpc_status.h"
#include "server/session_codec.h"

namespace gruserve::server {
namespace {

constexpr int64_t kInfoBytes = 128;  // Of an encoded SessionInfo, about.

// Of an operation's answer, about.
int64_t PayloadBytes(const SessionOpResult& result) {
  const size_t floats = result.output.size() + result.state.size();
  return static_cast<int64_t>(floats * sizeof(float) + result.status.message().size());
}

}  // namespace

StepStreamReactor* StepStreamReactor::Start(const Backend* backend, Tenant* tenant) {
  const std::shared_ptr<StepStreamReactor> reactor(new StepStreamReactor(backend, tenant));
  {
    const absl::MutexLock lock(&reactor->mu_);
    reactor->self_ = reactor;
  }
  backend->streams->Add(reactor);
  reactor->Advance();
  return reactor.get();
}

StepStreamReactor::StepStreamReactor(const Backend* backend, Tenant* tenant)
    : backend_(backend), tenant_(tenant), observed_(backend->observer->Begin("StreamSteps")) {}

void StepStreamReactor::OnReadDone(bool ok) {
  Failpoint("received");
  bool handle = false;
  {
    const absl::MutexLock lock(&mu_);
    reading_ = false;
    if (!ok && state_ == State::kOpen) state_ = State::kHalfClosed;
    handle = handling_ = ok && state_ == State::kOpen;
  }
  if (handle) {
    {
      // Submits the message's steps together. A lone one runs here, and its result is
      // on its way before the next read begins.
      const WorkRound round(WorkRound::Thread::kCaller);
      const absl::Time now = backend_->clock->Now();
      for (const v1::SessionCommand& command : request_.get()->commands()) Handle(command, now);
    }
    const absl::MutexLock lock(&mu_);
    handling_ = false;
  }
  Advance();
}

void StepStreamReactor::OnWriteDone(bool ok) {
  Failpoint("sent");
  {
    const absl::MutexLock lock(&mu_);
    writing_ = false;
    outbox_.EndMessage();
    if (!ok && state_ != State::kFinished) state_ = State::kBroken;
  }
  Advance();
}

void StepStreamReactor::OnCancel() {
  {
    const absl::MutexLock lock(&mu_);
    if (state_ == State::kFinished) return;
    state_ = State::kBroken;
  }
  backend_->sessions->DetachAll(this);
  Advance();
}

void StepStreamReactor::Drain() {
  {
    const absl::MutexLock lock(&mu_);
    drains_ = true;
    if (state_ == State::kOpen) {
      state_ = State::kDraining;
      outcome_ = DrainingStatus();
    }
  }
  Advance();
}

void StepStreamReactor::EndDrained() {
  {
    const absl::MutexLock lock(&mu_);
    ending_ = true;
  }
  Advance();
}

void StepStreamReactor::OnDone() {
  backend_->streams->Remove(this);
  observed_.reset();
  std::shared_ptr<StepStreamReactor> self;
  const absl::MutexLock lock(&mu_);
  self = std::move(self_);
}

void StepStreamReactor::Handle(const v1::SessionCommand& command, absl::Time now) {
  switch (command.command_case()) {
    case v1::SessionCommand::kOpen:
      HandleOpen(command.session(), command.open());
      return;
    case v1::SessionCommand::kStep:
    case v1::SessionCommand::kSetState:
    case v1::SessionCommand::kClose:
      HandleOperation(command, now);
      return;
    case v1::SessionCommand::COMMAND_NOT_SET:
      AnswerError(
          command.session(),
          absl::InvalidArgumentError("command is not set, one of open, step, set_state, close is wanted"),
          SessionErrorReason::kNone, /*detached=*/false);
  }
}

void StepStreamReactor::OnOpDone(const SessionOp& op, const SessionOpResult& result) {
  backend_->metrics->CountSteps(op.kind == SessionOpKind::kStep ? op.time_steps : 0, result.status.code(),
                                backend_->clock->Now() - op.received);
  std::shared_ptr<StepStreamReactor> self;
  WorkRound* const round = WorkRound::Current();
  {
    const absl::MutexLock lock(&mu_);
    const StreamHold* hold = state_ < State::kBroken ? handles_.Find(op.tag) : nullptr;
    if (hold != nullptr) Answer(*hold, op, result);
    --in_flight_;
    if (round != nullptr && std::exchange(advances_, true)) return;
    self = self_;
  }
  if (round != nullptr && self != nullptr) {
    round->TellAtEnd(std::move(self));
  } else {
    Advance();
  }
}

void StepStreamReactor::OnRoundEnd() {
  {
    const absl::MutexLock lock(&mu_);
    advances_ = false;
  }
  Advance();
}

void StepStreamReactor::Answer(const StreamHold& hold, const SessionOp& op, const SessionOpResult& result) {
  const bool close = op.kind == SessionOpKind::kClose;
  if (v1::SessionEvent* event =
          AddEvent(StreamHandles::HandleOf(op.tag), close ? kInfoBytes : PayloadBytes(result))) {
    if (!result.status.ok()) {
      EncodeError(result, event->mutable_error());
      event->mutable_error()->set_detached(close);
    } else if (close) {
      *event->mutable_closed() = EncodeInfo(hold.session->Describe());
    } else if (op.kind == SessionOpKind::kStep) {
      EncodeStep(op, result, *hold.session, event->mutable_output());
    } else {
      EncodeStateSet(result, event->mutable_state_set());
    }
  }
  if (close) handles_.Release(op.tag);
}

void StepStreamReactor::OnDetached(uint64_t serial, const absl::Status& status, SessionErrorReason reason,
                                   uint64_t epoch) {
  {
    const absl::MutexLock lock(&mu_);
    const StreamHold* hold = handles_.Find(serial);
    if (hold == nullptr) return;
    if (hold->state == StreamHold::State::kOpening) {
      handles_.LeaveEarly(serial, {status, reason, epoch});
      return;
    }
    AddError(StreamHandles::HandleOf(serial), status, reason, epoch, /*detached=*/true);
    handles_.Release(serial);
  }
  Advance();
}

void StepStreamReactor::AnswerError(uint32_t handle, const absl::Status& status, SessionErrorReason reason,
                                    bool detached) {
  const absl::MutexLock lock(&mu_);
  AddError(handle, status, reason, /*epoch=*/0, detached);
}

v1::SessionEvent* StepStreamReactor::AddEvent(uint32_t handle, int64_t payload_bytes) {
  if (state_ >= State::kBroken) return nullptr;
  v1::SessionEvent* event = outbox_.Add(payload_bytes);
  event->set_session(handle);
  return event;
}

void StepStreamReactor::AddError(uint32_t handle, const absl::Status& status, SessionErrorReason reason,
                                 uint64_t epoch, bool detached) {
  v1::SessionEvent* event = AddEvent(handle, static_cast<int64_t>(status.message().size()));
  if (event == nullptr) return;
  EncodeError(status, reason, event->mutable_error());
  event->mutable_error()->set_epoch(epoch);
  event->mutable_error()->set_detached(detached);
}

// The lock is held over gRPC's Start methods: they only hand over to its own
// threads, and Finish must not come between the decision and the call.

void StepStreamReactor::MaybeStartRead() {
  // A store that hangs must not let opens pile up.
  constexpr int64_t kMostOpening = 1024;
  if (state_ != State::kOpen || reading_ || handling_ || opening_ > kMostOpening) return;
  if (outbox_.bytes_owed() > backend_->max_owed_bytes) {
    if (!std::exchange(paused_, true)) backend_->metrics->CountReadPause();
    return;
  }
  paused_ = false;
  reading_ = true;
  request_.Reset();
  StartRead(request_.get());
}

void StepStreamReactor::MaybeStartWrite() {
  if (state_ >= State::kBroken || writing_ || !outbox_.has_next()) return;
  writing_ = true;
  StartWrite(outbox_.BeginMessage());
}

bool StepStreamReactor::BecomesQuiet() {
  if (!drains_ || handling_ || in_flight_ > 0) return false;
  drains_ = false;
  return true;
}

void StepStreamReactor::SayFarewell() {
  for (const uint64_t serial : handles_.Open()) {
    const SessionDescription session = handles_.Find(serial)->session->Describe();
    v1::SessionEvent* event = AddEvent(StreamHandles::HandleOf(serial), kInfoBytes);
    EncodeFarewell(DrainingStatus(), session, event->mutable_error());
    handles_.Release(serial);
  }
}

bool StepStreamReactor::ReadyToFinish() {
  if (writing_ || handling_) return false;
  switch (state_) {
    case State::kOpen:
    case State::kFinished:
      return false;
    case State::kDraining:
      if (!ending_) return false;
      [[fallthrough]];
    case State::kHalfClosed:
      return in_flight_ == 0 && !outbox_.has_next();
    case State::kBroken:
      outcome_ = absl::CancelledError("the client went away");
      return true;
  }
  return false;
}

void StepStreamReactor::Advance() {
  absl::Status outcome;
  bool quiet = false;
  bool finish = false;
  {
    const absl::MutexLock lock(&mu_);
    if (state_ == State::kDraining && ending_ && !handling_ && in_flight_ == 0) SayFarewell();
    MaybeStartWrite();
    MaybeStartRead();
    quiet = BecomesQuiet();
    finish = ReadyToFinish();
    if (finish) {
      state_ = State::kFinished;
      outbox_.DropWaiting();
      outcome = outcome_;
    }
  }
  if (quiet) backend_->streams->OnQuiet(this);
  if (!finish) return;
  // Before Finish: who sees the stream end may resume its sessions.
  backend_->sessions->DetachAll(this);
  observed_->End(outcome);
  Finish(ToGrpcStatus(outcome));
}

}  // namespace gruserve::server

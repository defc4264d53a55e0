// How a stream opens its sessions, and how their commands reach them.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/session_codec.h"
#include "server/step_stream_reactor.h"

namespace gruserve::server {
namespace {

absl::Status NotOpen(uint32_t handle) {
  return absl::FailedPreconditionError(
      absl::StrCat("session ", handle, " is not open on this stream: open it first"));
}

absl::Status TooManyWait(uint32_t handle) {
  return absl::ResourceExhaustedError(
      absl::StrCat("too many commands wait until session ", handle, " is open"));
}

SessionErrorReason ReasonOfOpen(const absl::Status& status, const Backend& backend) {
  if (status.code() == absl::StatusCode::kResourceExhausted) return SessionErrorReason::kBudget;
  const bool draining = status.code() == absl::StatusCode::kUnavailable && !backend.gate->CheckOpen().ok();
  return draining ? SessionErrorReason::kDraining : SessionErrorReason::kNone;
}

}  // namespace

void StepStreamReactor::HandleOpen(uint32_t handle, const v1::OpenSession& open) {
  uint64_t serial = 0;
  {
    const absl::MutexLock lock(&mu_);
    serial = handle == 0 ? 0 : handles_.Take(handle);
    if (serial != 0 || handle == 0) {
      ++in_flight_;
      ++opening_;
    }
    if (handle == 0) unnumbered_.push_back(open);
  }
  if (handle == 0) {
    OpenUnnumbered();
    return;
  }
  if (serial != 0) {
    Open(handle, serial, open);
    return;
  }
  AnswerError(handle,
              absl::AlreadyExistsError(absl::StrCat("session ", handle, " is open on this stream already")),
              SessionErrorReason::kNone, /*detached=*/false);
}

void StepStreamReactor::ShareInstance(ClientInstance* instance) {
  if (*instance == nullptr) return;
  if (instance_ != nullptr && *instance_ == **instance) {
    *instance = instance_;
  } else {
    instance_ = *instance;
  }
}

void StepStreamReactor::Open(uint32_t handle, uint64_t serial, const v1::OpenSession& open) {
  absl::StatusOr<OpenSessionOptions> options = DecodeOpen(open, *backend_->models);
  if (!options.ok()) {
    OnOpened(handle, serial, options.status());
    return;
  }
  std::shared_ptr<StepStreamReactor> self;
  {
    const absl::MutexLock lock(&mu_);
    self = self_;
    ShareInstance(&options->attachment.client_instance);
  }
  options->attachment.sink = self;
  options->attachment.handle = serial;
  options->tenant = tenant_;
  backend_->opener->Open(*std::move(options),
                         [self, handle, serial](const absl::StatusOr<std::shared_ptr<Session>>& session) {
                           self->OnOpened(handle, serial, session);
                         });
}

void StepStreamReactor::OnOpened(uint32_t handle, uint64_t serial,
                                 const absl::StatusOr<std::shared_ptr<Session>>& session) {
  if (!session.ok()) {
    // In one piece: who hears of it may use the handle again.
    const absl::MutexLock lock(&mu_);
    handles_.Release(serial);
    AddError(handle, session.status(), ReasonOfOpen(session.status(), *backend_), /*epoch=*/0,
             /*detached=*/true);
    RefuseWaiting(serial);
  } else {
    const SessionDescription description = (*session)->Describe();
    // A resumed session may still run what its last stream sent: its next index is
    // known in turn. A handle of our choice is answered at once, in order.
    if (description.epoch == 1 || handle == 0) {
      AnswerOpened(serial, description);
    } else {
      std::shared_ptr<StepStreamReactor> self;
      {
        const absl::MutexLock lock(&mu_);
        self = self_;
        ++in_flight_;
      }
      (*session)->ReadState(
          [this, self, serial](const SessionDescription& settled, const std::vector<float>&) {
            AnswerOpened(serial, settled);
            {
              const absl::MutexLock lock(&mu_);
              --in_flight_;
            }
            Advance();
          });
    }
    HandOver(serial, *session);
  }
  bool gone = false;
  {
    const absl::MutexLock lock(&mu_);
    --in_flight_;
    --opening_;
    if (handle == 0) opening_unnumbered_ = false;
    gone = state_ >= State::kBroken;
  }
  if (gone) backend_->sessions->DetachAll(this);  // The stream ended meanwhile.
  if (handle == 0) OpenUnnumbered();
  Advance();
}

void StepStreamReactor::OpenUnnumbered() {
  {
    const absl::MutexLock lock(&mu_);
    if (starting_unnumbered_) return;
    starting_unnumbered_ = true;
  }
  while (true) {
    v1::OpenSession next;
    uint64_t serial = 0;
    {
      const absl::MutexLock lock(&mu_);
      starting_unnumbered_ = !opening_unnumbered_ && !unnumbered_.empty();
      if (!starting_unnumbered_) return;
      opening_unnumbered_ = true;
      next = std::move(unnumbered_.front());
      unnumbered_.pop_front();
      serial = handles_.Take(0);
    }
    Open(0, serial, next);
  }
}

void StepStreamReactor::HandOver(uint64_t serial, const std::shared_ptr<Session>& session) {
  while (true) {
    std::vector<WaitingCommand> waiting;
    {
      const absl::MutexLock lock(&mu_);
      StreamHold* hold = handles_.Find(serial);
      if (hold == nullptr) {
        RefuseWaiting(serial);
        return;
      }
      hold->session = session;
      waiting = handles_.TakeWaiting(serial);
      hold->takes_commands = waiting.empty();
      if (hold->takes_commands) return;
    }
    for (const WaitingCommand& one : waiting) Submit(*session, serial, one);
  }
}

void StepStreamReactor::RefuseWaiting(uint64_t serial) {
  const uint32_t handle = StreamHandles::HandleOf(serial);
  for (size_t count = handles_.TakeWaiting(serial).size(); count > 0; --count) {
    AddError(handle, NotOpen(handle), SessionErrorReason::kNone, /*epoch=*/0, /*detached=*/true);
    --in_flight_;
  }
}

void StepStreamReactor::AnswerOpened(uint64_t serial, const SessionDescription& description) {
  constexpr int64_t kInfoBytes = 128;  // About.
  const absl::MutexLock lock(&mu_);
  StreamHold* hold = handles_.Find(serial);
  if (hold == nullptr) return;
  if (v1::SessionEvent* event = AddEvent(StreamHandles::HandleOf(serial), kInfoBytes)) {
    *event->mutable_opened() = EncodeInfo(description);
  }
  if (hold->state == StreamHold::State::kOpening) hold->state = StreamHold::State::kOpen;
  const std::optional<SessionLeft> left = handles_.TakeLeft(serial);
  if (!left.has_value()) return;
  AddError(StreamHandles::HandleOf(serial), left->status, left->reason, left->epoch, /*detached=*/true);
  handles_.Release(serial);
}

void StepStreamReactor::HandleOperation(const v1::SessionCommand& command, absl::Time now) {
  const uint32_t handle = command.session();
  std::shared_ptr<Session> session;
  uint64_t serial = 0;
  absl::Status refusal;
  {
    const absl::MutexLock lock(&mu_);
    serial = handles_.SerialOf(handle);
    const StreamHold* hold = handles_.Find(serial);
    if (hold == nullptr || hold->state == StreamHold::State::kClosing) {
      refusal = NotOpen(handle);
    } else if (hold->takes_commands) {
      session = hold->session;
      ++in_flight_;
    } else if (handles_.Wait(serial, command, now)) {
      ++in_flight_;
    } else {
      refusal = TooManyWait(handle);
    }
  }
  if (session != nullptr) {
    Submit(*session, serial, {&command, std::nullopt, now});
  } else if (absl::IsResourceExhausted(refusal)) {
    AnswerError(handle, refusal, SessionErrorReason::kCredits, /*detached=*/false);
  } else if (!refusal.ok()) {
    AnswerError(handle, refusal, SessionErrorReason::kNone, /*detached=*/true);
  }
}

void StepStreamReactor::Submit(Session& session, uint64_t serial, const WaitingCommand& waiting) {
  const v1::SessionCommand& command = waiting.get();
  const bool close = command.has_close();
  std::shared_ptr<StepStreamReactor> self;
  {
    const absl::MutexLock lock(&mu_);
    StreamHold* hold = handles_.Find(serial);
    if (hold == nullptr || hold->state == StreamHold::State::kClosing) {
      const uint32_t handle = StreamHandles::HandleOf(serial);
      AddError(handle, NotOpen(handle), SessionErrorReason::kNone, /*epoch=*/0, /*detached=*/true);
      --in_flight_;
      return;
    }
    if (close) hold->state = StreamHold::State::kClosing;
    self = self_;
  }
  SessionOp op;
  if (close) {
    op.kind = SessionOpKind::kClose;
  } else if (command.has_step()) {
    op = DecodeStep(command.step(), session, backend_->step_limits, waiting.received);
  } else {
    op = DecodeSetState(command.set_state(), session);
  }
  op.tag = serial;
  op.received = waiting.received;
  if (waiting.one_too_many) op.refused = TooManyWait(StreamHandles::HandleOf(serial));
  session.Submit(std::move(op), std::move(self));
}

}  // namespace gruserve::server

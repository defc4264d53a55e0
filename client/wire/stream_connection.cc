#include "client/wire/stream_connection.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/wire/grpc_status.h"

namespace gruserve::client {
namespace {

// The stream whose callbacks this thread runs.
thread_local const StreamConnection* running_callbacks_of = nullptr;

// What one message needs beside its largest command.
constexpr size_t kMessageOverheadBytes = 64;

// Takes the elements out of a command that is too large to send. The server then
// refuses it in its turn and raises the barrier, as for any other bad operation.
void Hollow(v1::SessionCommand* command) {
  if (command->has_step()) command->mutable_step()->mutable_input()->clear_raw();
  if (command->has_set_state()) command->mutable_set_state()->mutable_state()->clear_raw();
}

// A blocked call and its answer; shared, as the call may give up first.
struct Waiter {
  absl::Notification answered;
  absl::StatusOr<v1::SessionEvent> event;
};

}  // namespace

std::shared_ptr<StreamConnection> StreamConnection::Start(ChannelPool::Lease channel,
                                                          const StreamOptions& options,
                                                          size_t max_message_bytes) {
  std::shared_ptr<StreamConnection> connection(
      new StreamConnection(std::move(channel), options, max_message_bytes));
  connection->stub_->async()->StreamSteps(&connection->context_, connection.get());
  connection->AddHold();
  connection->StartRead(&connection->response_);
  connection->StartCall();
  return connection;
}

StreamConnection::StreamConnection(ChannelPool::Lease channel, const StreamOptions& options,
                                   size_t max_message_bytes)
    : channel_(std::move(channel)),
      options_(options),
      max_message_bytes_(max_message_bytes),
      stub_(v1::InferenceService::NewStub(*channel_)) {}

uint32_t StreamConnection::NewHandle() {
  const absl::MutexLock lock(&mu_);
  return ++last_handle_;
}

void StreamConnection::Submit(uint32_t handle, v1::SessionCommand command, EventCallback done) {
  absl::Status refused;
  if (const size_t bytes = command.ByteSizeLong(); bytes + kMessageOverheadBytes > max_message_bytes_) {
    refused = absl::ResourceExhaustedError(absl::StrCat(
        "the operation has ", bytes, " bytes, a message holds ", max_message_bytes_, ": send less at once"));
    Hollow(&command);
  }
  command.set_session(handle);
  const bool opens = command.has_open();
  absl::Status status;
  {
    const absl::MutexLock lock(&mu_);
    status = opens ? CheckOpen() : StatusOf(handle);
    if (status.ok() && opens) status = refused;
    if (status.ok()) status = CheckOpen();
    if (status.ok()) {
      SessionQueue& queue = sessions_[handle];
      queue.Push({std::move(command), std::move(done), std::move(refused)});
      ++waiting_;
      Release(&queue);
      Advance();
      return;
    }
  }
  done(std::move(status));
}

absl::StatusOr<v1::SessionEvent> StreamConnection::Call(uint32_t handle, v1::SessionCommand command) {
  if (absl::Status status = CheckMayBlock(); !status.ok()) return status;
  const auto waiter = std::make_shared<Waiter>();
  Submit(handle, std::move(command), [waiter](absl::StatusOr<v1::SessionEvent> event) {
    waiter->event = std::move(event);
    waiter->answered.Notify();
  });
  if (!waiter->answered.WaitForNotificationWithTimeout(options_.call_timeout)) {
    return absl::DeadlineExceededError(absl::StrCat("no answer on the stream within ",
                                                    absl::FormatDuration(options_.call_timeout),
                                                    "; the operation may still run"));
  }
  return std::move(waiter->event);
}

void StreamConnection::WaitForRoom(uint32_t handle) {
  if (!CheckMayBlock().ok()) return;
  const auto has_room = [this, handle] {
    mu_.AssertHeld();
    const auto found = sessions_.find(handle);
    return found == sessions_.end() || !found->second.status().ok() || found->second.has_room();
  };
  const absl::MutexLock lock(&mu_, absl::Condition(&has_room));
}

absl::Status StreamConnection::SessionStatus(uint32_t handle) const {
  const absl::MutexLock lock(&mu_);
  return StatusOf(handle);
}

absl::Status StreamConnection::StatusOf(uint32_t handle) const {
  const auto found = sessions_.find(handle);
  if (found != sessions_.end()) return found->second.status();
  return absl::FailedPreconditionError("the session is closed");
}

absl::Status StreamConnection::Finish() {
  if (absl::Status status = CheckMayBlock(); !status.ok()) return status;
  {
    const absl::MutexLock lock(&mu_);
    if (state_ == State::kOpen) state_ = State::kFinishing;
    Advance();
  }
  WaitUntilDone();
  return status();
}

void StreamConnection::Cancel() { context_.TryCancel(); }

void StreamConnection::WaitUntilDone() {
  const absl::MutexLock lock(&mu_, absl::Condition(this, &StreamConnection::IsDone));
}

absl::Status StreamConnection::status() const {
  const absl::MutexLock lock(&mu_);
  return outcome_;
}

absl::Status StreamConnection::CheckOpen() const {
  // While the call ends the reason is still to come: OnDone tells it.
  if (state_ == State::kOpen || state_ == State::kEnding) return absl::OkStatus();
  if (!outcome_.ok()) return outcome_;
  return absl::FailedPreconditionError("the stream is finished");
}

absl::Status StreamConnection::CheckMayBlock() const {
  if (running_callbacks_of != this) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a blocking call in a callback of its own stream would wait for itself");
}

void StreamConnection::OnReadDone(bool ok) {
  std::vector<Completion> completions;
  {
    const absl::MutexLock lock(&mu_);
    if (!ok) {
      BeginEnding();
      return;
    }
    for (v1::SessionEvent& event : *response_.mutable_events()) OnEvent(std::move(event), &completions);
    Advance();
  }
  Complete(std::move(completions));
  StartRead(&response_);
}

void StreamConnection::OnEvent(v1::SessionEvent event, std::vector<Completion>* completions) {
  const auto found = sessions_.find(event.session());
  // What crossed the end of its session was answered by that end.
  if (found == sessions_.end() || !found->second.status().ok()) return;
  const bool closed = event.has_closed();
  SessionQueue& queue = found->second;
  waiting_ -= queue.waiting();
  queue.OnEvent(std::move(event), completions);
  waiting_ += queue.waiting();
  if (closed) {
    sessions_.erase(found);
  } else {
    Release(&queue);
  }
}

void StreamConnection::OnWriteDone(bool ok) {
  const absl::MutexLock lock(&mu_);
  writing_ = false;
  if (ok) {
    Advance();
  } else {
    BeginEnding();
  }
}

void StreamConnection::OnDone(const grpc::Status& status) {
  std::vector<Completion> completions;
  {
    const absl::MutexLock lock(&mu_);
    state_ = State::kFailed;
    outcome_ = FromGrpcStatus(status);
    const absl::Status why = outcome_.ok() ? absl::UnavailableError("the stream has ended") : outcome_;
    for (auto& [handle, queue] : sessions_) {
      if (queue.status().ok()) queue.Fail(why, &completions);
    }
    waiting_ = 0;
    outbox_.clear();
  }
  Complete(std::move(completions));
  const absl::MutexLock lock(&mu_);
  state_ = State::kDone;  // The owner may let go now: nothing of this is touched any more.
}

void StreamConnection::Release(SessionQueue* queue) {
  while (std::optional<v1::SessionCommand> command = queue->TakeSendable()) {
    outbox_.push_back(*std::move(command));
    --waiting_;
  }
}

// The lock is held over gRPC's Start methods: they only hand over to its own
// threads, and the call must not end between the decision and the write.
void StreamConnection::Advance() {
  if (state_ > State::kFinishing || writing_) return;
  if (!outbox_.empty()) {
    request_.Clear();
    size_t bytes = 0;
    while (!outbox_.empty() && (bytes == 0 || bytes + outbox_.front().ByteSizeLong() <= kFullMessageBytes)) {
      bytes += outbox_.front().ByteSizeLong();
      *request_.add_commands() = std::move(outbox_.front());
      outbox_.pop_front();
    }
    writing_ = true;
    StartWrite(&request_);
  } else if (state_ == State::kFinishing && waiting_ == 0 && !half_closed_) {
    half_closed_ = true;
    StartWritesDone();
  }
}

void StreamConnection::BeginEnding() {
  if (state_ >= State::kEnding) return;
  state_ = State::kEnding;
  RemoveHold();
}

void StreamConnection::Complete(std::vector<Completion> completions) {
  const StreamConnection* const outer = running_callbacks_of;
  running_callbacks_of = this;
  for (Completion& completion : completions) completion.done(std::move(completion.event));
  running_callbacks_of = outer;
}

}  // namespace gruserve::client

#include "client/step_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/wire/session_codec.h"
#include "client/wire/stream_connection.h"
#include "client/wire/tensor_codec.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

absl::Status WrongEvent(const v1::SessionEvent& event, const char* wanted) {
  return absl::InternalError(absl::StrCat("the server answered with event ",
                                          static_cast<int>(event.event_case()), ", ", wanted, " was wanted"));
}

absl::StatusOr<StepResult> StepOf(const absl::StatusOr<v1::SessionEvent>& event) {
  GRUSERVE_RETURN_IF_ERROR(event.status());
  if (!event->has_output()) return WrongEvent(*event, "output");
  return DecodeStep(event->output());
}

v1::SessionCommand StepCommand(const Tensor& input, const StepOptions& options) {
  v1::SessionCommand command;
  EncodeStep(input, options, command.mutable_step());
  return command;
}

absl::StatusOr<StateResult> StateOf(const v1::SessionEvent& event) {
  if (!event.has_state_set()) return WrongEvent(event, "state_set");
  return DecodeStateSet(event.state_set());
}

absl::StatusOr<StateResult> SendState(StreamConnection* connection, uint32_t handle,
                                      v1::SessionCommand command) {
  GRUSERVE_ASSIGN_OR_RETURN(const v1::SessionEvent event, connection->Call(handle, std::move(command)));
  return StateOf(event);
}

void SubmitState(StreamConnection* connection, uint32_t handle, v1::SessionCommand command,
                 StateCallback done) {
  connection->Submit(handle, std::move(command),
                     [done = std::move(done)](const absl::StatusOr<v1::SessionEvent>& event) {
                       done(event.ok() ? StateOf(*event) : event.status());
                     });
}

v1::SessionCommand RewindCommand(int64_t step, int64_t index) {
  v1::SessionCommand command;
  command.mutable_set_state()->set_index(index);
  command.mutable_set_state()->set_rewind_to(step);
  return command;
}

}  // namespace

StreamSession::StreamSession(std::shared_ptr<StreamConnection> connection, uint32_t handle, SessionInfo info)
    : connection_(std::move(connection)), handle_(handle), info_(std::move(info)) {}

absl::StatusOr<StepResult> StreamSession::Step(const Tensor& input, const StepOptions& options) {
  return StepOf(connection_->Call(handle_, StepCommand(input, options)));
}

absl::StatusOr<StepResult> StreamSession::StepChunk(const Tensor& inputs, const StepOptions& options) {
  return Step(inputs, options);
}

void StreamSession::StepAsync(const Tensor& input, StepCallback done, const StepOptions& options) {
  connection_->Submit(
      handle_, StepCommand(input, options),
      [done = std::move(done)](const absl::StatusOr<v1::SessionEvent>& event) { done(StepOf(event)); });
}

void StreamSession::WaitForRoom() { connection_->WaitForRoom(handle_); }

absl::StatusOr<StateResult> StreamSession::SetState(const Tensor& state, int64_t index) {
  v1::SessionCommand command;
  command.mutable_set_state()->set_index(index);
  EncodeTensor(state, command.mutable_set_state()->mutable_state());
  return SendState(connection_.get(), handle_, std::move(command));
}

absl::StatusOr<StateResult> StreamSession::SetStates(const std::vector<NamedTensor>& states, int64_t index) {
  v1::SessionCommand command;
  command.mutable_set_state()->set_index(index);
  EncodeNamedTensors(states, command.mutable_set_state()->mutable_states());
  return SendState(connection_.get(), handle_, std::move(command));
}

absl::StatusOr<StateResult> StreamSession::Reset(int64_t index) {
  v1::SessionCommand command;
  command.mutable_set_state()->set_index(index);
  return SendState(connection_.get(), handle_, std::move(command));
}

absl::StatusOr<StateResult> StreamSession::Rewind(int64_t step, int64_t index) {
  return SendState(connection_.get(), handle_, RewindCommand(step, index));
}

void StreamSession::SetStateAsync(const Tensor& state, StateCallback done, int64_t index) {
  v1::SessionCommand command;
  command.mutable_set_state()->set_index(index);
  if (!state.shape.empty()) EncodeTensor(state, command.mutable_set_state()->mutable_state());
  SubmitState(connection_.get(), handle_, std::move(command), std::move(done));
}

void StreamSession::RewindAsync(int64_t step, StateCallback done, int64_t index) {
  SubmitState(connection_.get(), handle_, RewindCommand(step, index), std::move(done));
}

absl::StatusOr<SessionInfo> StreamSession::Close() {
  v1::SessionCommand command;
  command.mutable_close();
  GRUSERVE_ASSIGN_OR_RETURN(const v1::SessionEvent event, connection_->Call(handle_, std::move(command)));
  if (!event.has_closed()) return WrongEvent(event, "closed");
  return DecodeSessionInfo(event.closed());
}

absl::Status StreamSession::status() const { return connection_->SessionStatus(handle_); }

StepStream::StepStream(std::shared_ptr<StreamConnection> connection) : connection_(std::move(connection)) {}

StepStream::~StepStream() {
  connection_->Cancel();
  connection_->WaitUntilDone();
}

absl::StatusOr<StreamSession> StepStream::Open(const OpenOptions& options) {
  v1::SessionCommand command;
  EncodeOpen(options, command.mutable_open());
  const uint32_t handle = connection_->NewHandle();
  const absl::StatusOr<v1::SessionEvent> event = connection_->Call(handle, std::move(command));
  if (absl::IsDeadlineExceeded(event.status()) && connection_->SessionStatus(handle).ok()) {
    // Nobody will know of it: should it open after all, it closes.
    v1::SessionCommand close;
    close.mutable_close();
    connection_->Submit(handle, std::move(close), [](const absl::StatusOr<v1::SessionEvent>&) {});
  }
  GRUSERVE_RETURN_IF_ERROR(event.status());
  if (!event->has_opened()) return WrongEvent(*event, "opened");
  return StreamSession(connection_, handle, DecodeSessionInfo(event->opened()));
}

absl::Status StepStream::Finish() { return connection_->Finish(); }

void StepStream::Cancel() { connection_->Cancel(); }

absl::Status StepStream::status() const { return connection_->status(); }

}  // namespace gruserve::client

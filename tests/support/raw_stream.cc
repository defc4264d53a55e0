#include "tests/support/raw_stream.h"

#include <cstring>
#include <utility>

namespace gruserve {

v1::Tensor RawTensor(const std::vector<int64_t>& shape, std::span<const float> elements) {
  v1::Tensor tensor;
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  tensor.set_raw(elements.data(), elements.size_bytes());
  return tensor;
}

std::vector<float> Elements(const v1::Tensor& tensor) {
  if (tensor.raw().empty()) return {tensor.values().begin(), tensor.values().end()};
  std::vector<float> elements(tensor.raw().size() / sizeof(float));
  std::memcpy(elements.data(), tensor.raw().data(), elements.size() * sizeof(float));
  return elements;
}

RawStream::RawStream(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(v1::InferenceService::NewStub(channel)), stream_(stub_->StreamSteps(&context_)) {}

RawStream::~RawStream() {
  if (ended_) return;
  context_.TryCancel();
  v1::StreamStepsResponse response;
  while (stream_->Read(&response)) {
  }
  stream_->Finish();
}

bool RawStream::Send(const v1::StreamStepsRequest& request) { return stream_->Write(request); }

bool RawStream::Send(v1::SessionCommand command) {
  v1::StreamStepsRequest request;
  *request.add_commands() = std::move(command);
  return Send(request);
}

std::optional<v1::SessionEvent> RawStream::Next() {
  v1::StreamStepsResponse response;
  while (events_.empty()) {
    if (!stream_->Read(&response)) return std::nullopt;
    for (v1::SessionEvent& event : *response.mutable_events()) events_.push_back(std::move(event));
  }
  v1::SessionEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

v1::SessionEvent RawStream::Call(v1::SessionCommand command) {
  Send(std::move(command));
  return Next().value_or(v1::SessionEvent());
}

void RawStream::HalfClose() { stream_->WritesDone(); }

void RawStream::Cancel() { context_.TryCancel(); }

grpc::Status RawStream::Finish() {
  ended_ = true;
  return stream_->Finish();
}

v1::SessionCommand OpenCommand(uint32_t session, const std::string& model, const std::string& id) {
  v1::SessionCommand command;
  command.set_session(session);
  command.mutable_open()->mutable_model()->set_name(model);
  command.mutable_open()->set_session_id(id);
  return command;
}

v1::SessionCommand StepCommand(uint32_t session, v1::Tensor input, int64_t index) {
  v1::SessionCommand command;
  command.set_session(session);
  *command.mutable_step()->mutable_input() = std::move(input);
  command.mutable_step()->set_index(index);
  return command;
}

v1::SessionCommand SetStateCommand(uint32_t session, std::optional<v1::Tensor> state) {
  v1::SessionCommand command;
  command.set_session(session);
  command.mutable_set_state();
  if (state) *command.mutable_set_state()->mutable_state() = *std::move(state);
  return command;
}

v1::SessionCommand CloseCommand(uint32_t session) {
  v1::SessionCommand command;
  command.set_session(session);
  command.mutable_close();
  return command;
}

}  // namespace gruserve

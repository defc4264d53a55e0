// A StreamSteps call driven message by message, with nothing between the test
// and the wire: for tests of the protocol itself. Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_RAW_STREAM_H_
#define GRUSERVE_TESTS_SUPPORT_RAW_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gruserve/v1/inference_service.grpc.pb.h"

namespace gruserve {

// A tensor in the raw encoding.
v1::Tensor RawTensor(const std::vector<int64_t>& shape, std::span<const float> elements);

// The elements of a tensor in either encoding.
std::vector<float> Elements(const v1::Tensor& tensor);

class RawStream {
 public:
  explicit RawStream(const std::shared_ptr<grpc::Channel>& channel);
  // Cancels what is still open.
  ~RawStream();

  // Sends one message; false where the stream is broken.
  bool Send(const v1::StreamStepsRequest& request);
  bool Send(v1::SessionCommand command);

  // The next event, whichever message it comes in; nothing once the stream ended.
  std::optional<v1::SessionEvent> Next();

  // Sends one command and waits for one event.
  v1::SessionEvent Call(v1::SessionCommand command);

  void HalfClose();
  void Cancel();
  // The call's status. REQUIRES: Next() has answered nothing.
  grpc::Status Finish();

 private:
  std::unique_ptr<v1::InferenceService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamStepsRequest, v1::StreamStepsResponse>> stream_;
  std::deque<v1::SessionEvent> events_;
  bool ended_ = false;
};

// Commands for handle `session`.
v1::SessionCommand OpenCommand(uint32_t session, const std::string& model, const std::string& id = "");
v1::SessionCommand StepCommand(uint32_t session, v1::Tensor input, int64_t index = 0);
v1::SessionCommand SetStateCommand(uint32_t session, std::optional<v1::Tensor> state = std::nullopt);
v1::SessionCommand CloseCommand(uint32_t session);

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_RAW_STREAM_H_

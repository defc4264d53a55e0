#include "tests/bench/step_messages.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <random>

namespace gruserve::bench {
namespace {

constexpr int kMaxMessageBytes = 256 << 20;

}  // namespace

std::vector<std::shared_ptr<grpc::Channel>> OpenChannels(const std::string& server, int count) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < count; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    // Channels with equal arguments would share one connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channels.push_back(grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments));
  }
  return channels;
}

v1::Tensor InputTensor(const std::vector<int64_t>& shape, uint32_t seed) {
  v1::Tensor tensor;
  int64_t count = 1;
  for (const int64_t dim : shape) {
    tensor.add_shape(dim);
    count *= dim;
  }
  std::mt19937 random(seed);
  std::string& raw = *tensor.mutable_raw();
  raw.reserve(static_cast<size_t>(count) * sizeof(float));
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
    raw.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return tensor;
}

v1::StreamStepsRequest OpenMessage(const std::string& model, int first, int count) {
  v1::StreamStepsRequest message;
  for (int i = first; i < first + count; ++i) {
    v1::SessionCommand& command = *message.add_commands();
    command.set_session(static_cast<uint32_t>(i));
    command.mutable_open()->mutable_model()->set_name(model);
    command.mutable_open()->set_close_with_stream(true);
  }
  return message;
}

v1::StreamStepsRequest StepMessage(int64_t input_size, int sessions) {
  v1::StreamStepsRequest message;
  for (int i = 1; i <= sessions; ++i) {
    v1::SessionCommand& command = *message.add_commands();
    command.set_session(static_cast<uint32_t>(i));
    *command.mutable_step()->mutable_input() = InputTensor({input_size}, static_cast<uint32_t>(i));
  }
  return message;
}

}  // namespace gruserve::bench

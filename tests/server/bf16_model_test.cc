// A bf16 model behind the wire: said by the model service, and with the same bits by
// steps among others as by one sequence and by no server at all. Where the processor
// has no bf16: refused, with its reason.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/base/bf16.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kInput = 17;
constexpr int64_t kHidden = 64;
constexpr size_t kSteps = 12;
constexpr uint32_t kSessions = 5;

class Bf16ModelTest : public ::testing::Test {
 protected:
  static ServerOptions Options() {
    ServerOptions options;
    options.workers = 2;
    options.compute_dtype = "bf16";
    return options;
  }

  grpc::Status GetModel(const InProcessServer& server, v1::ModelDescription* model) const {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.mutable_model()->set_name("demo");
    v1::GetModelResponse response;
    const grpc::Status status =
        v1::ModelService::NewStub(server.channel())->GetModel(&context, request, &response);
    *model = response.model();
    return status;
  }

  // One row as one sequence.
  std::vector<float> Infer(const InProcessServer& server, const std::vector<float>& input) const {
    grpc::ClientContext context;
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    *request.mutable_input() = RawTensor({kSteps, kInput}, input);
    v1::InferSequenceResponse response;
    const grpc::Status status =
        v1::InferenceService::NewStub(server.channel())->InferSequence(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Elements(response.output());
  }

  const bool has_bf16_ = CheckProcessorHas(ComputeDtype::kBf16).ok();
  TestRepository repository_;
  const TestModel& demo_ =
      repository_.Add("demo",
                      {.input_size = kInput,
                       .hidden_size = kHidden,
                       .num_layers = 2,
                       .compute_dtype = has_bf16_ ? ComputeDtype::kBf16 : ComputeDtype::kF32},
                      1);
};

TEST_F(Bf16ModelTest, IsDescribedOrRefused) {
  const InProcessServer server(repository_.root(), Options());
  v1::ModelDescription model;
  const grpc::Status status = GetModel(server, &model);
  if (!has_bf16_) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), HasSubstr("neither AVX512_BF16 nor AMX"));
    return;
  }
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(model.summary().compute_dtype(), v1::COMPUTE_DTYPE_BF16);
  EXPECT_THAT(model.kernel_fingerprint(), HasSubstr(" bf16 buckets "));
  EXPECT_EQ(model.state_bytes_per_row(), 2 * kHidden * 4);
}

TEST_F(Bf16ModelTest, SessionsAmongOthersAreTheSequence) {
  ServerOptions options = Options();
  if (!has_bf16_) options.compute_dtype = "f32";  // Refused: see above.
  const InProcessServer server(repository_.root(), options);
  std::mt19937 random(7);
  std::vector<std::vector<float>> inputs(kSessions);
  std::vector<std::vector<float>> outputs(kSessions);
  for (std::vector<float>& input : inputs) {
    input = RandomFloats(random, static_cast<int64_t>(kSteps) * kInput);
  }
  RawStream stream(server.channel());
  for (uint32_t i = 0; i < kSessions; ++i) ASSERT_TRUE(stream.Call(OpenCommand(i + 1, "demo")).has_opened());
  for (size_t t = 0; t < kSteps; ++t) {
    v1::StreamStepsRequest request;
    for (uint32_t i = 0; i < kSessions; ++i) {
      const std::span<const float> step(inputs[i].data() + t * kInput, kInput);
      *request.add_commands() = StepCommand(i + 1, RawTensor({kInput}, step));
    }
    ASSERT_TRUE(stream.Send(request));
  }
  for (size_t i = 0; i < kSessions * kSteps; ++i) {
    const auto event = stream.Next();
    ASSERT_TRUE(event.has_value() && event->has_output());
    const std::vector<float> output = Elements(event->output().output());
    std::vector<float>& session = outputs[event->session() - 1];
    session.insert(session.end(), output.begin(), output.end());
  }
  for (uint32_t i = 0; i < kSessions; ++i) {
    EXPECT_EQ(outputs[i], Infer(server, inputs[i])) << i;
    EXPECT_EQ(outputs[i], demo_.Alone(inputs[i])) << i;
    if (!has_bf16_) continue;
    for (const float value : outputs[i]) ASSERT_EQ(FromBf16(RoundToBf16(value)), value);
  }
}

}  // namespace
}  // namespace gruserve::server

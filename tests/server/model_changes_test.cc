// Models that come and go while the server serves, over a real socket.

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/in_process_server.h"
#include "tests/support/model_builder.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve::server {
namespace {

using testing::HasSubstr;
using Health = grpc::health::v1::HealthCheckResponse;

const GruConfig kConfig = {.input_size = 3, .hidden_size = 4};
const std::vector<float> kInput = {0.5f, -1.0f, 2.0f};

class ModelChangesTest : public testing::Test {
 protected:
  static ServerOptions Explicit() {
    ServerOptions options;
    options.workers = 1;
    options.repository_mode = "explicit";
    return options;
  }
  void Start(const ServerOptions& options = Explicit(), Clock* clock = Clock::Real()) {
    server_ = std::make_unique<InProcessServer>(folder_.root(), options, clock);
    models_ = v1::ModelService::NewStub(server_->channel());
  }
  static v1::ModelSpec Spec(const std::string& name, int64_t version = 0, const std::string& label = "") {
    v1::ModelSpec spec;
    spec.set_name(name);
    spec.set_version(version);
    spec.set_label(label);
    return spec;
  }
  grpc::Status Load(const v1::ModelSpec& spec) {
    grpc::ClientContext context;
    v1::LoadModelRequest request;
    *request.mutable_model() = spec;
    return models_->LoadModel(&context, request, &loaded_);
  }
  grpc::Status Unload(const v1::ModelSpec& spec) {
    grpc::ClientContext context;
    v1::UnloadModelRequest request;
    *request.mutable_model() = spec;
    v1::UnloadModelResponse response;
    return models_->UnloadModel(&context, request, &response);
  }
  Health::ServingStatus HealthOf(const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    Health response;
    const auto stub = grpc::health::v1::Health::NewStub(server_->channel());
    return stub->Check(&context, request, &response).ok() ? response.status() : Health::UNKNOWN;
  }
  // One step's outputs, by a call of its own; the call's error where it has one.
  std::vector<float> Infer(const v1::ModelSpec& spec, grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    v1::InferSequenceRequest request;
    *request.mutable_model() = spec;
    *request.mutable_input() = RawTensor({1, 3}, kInput);
    v1::InferSequenceResponse response;
    const auto stub = v1::InferenceService::NewStub(server_->channel());
    const grpc::Status answer = stub->InferSequence(&context, request, &response);
    if (status != nullptr) *status = answer;
    return answer.ok() ? Elements(response.output()) : std::vector<float>();
  }

  TestRepository folder_;
  FakeClock clock_;
  std::unique_ptr<InProcessServer> server_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  v1::LoadModelResponse loaded_;
};

TEST_F(ModelChangesTest, LoadAndUnloadWithHealth) {
  folder_.Add("demo", kConfig, 1);
  Start();
  EXPECT_EQ(HealthOf(""), Health::SERVING);
  EXPECT_EQ(HealthOf("model/demo"), Health::UNKNOWN);
  ASSERT_TRUE(Load(Spec("demo")).ok());
  ASSERT_EQ(loaded_.models_size(), 1);
  EXPECT_EQ(loaded_.models(0).state(), v1::MODEL_STATE_READY);
  EXPECT_EQ(HealthOf("model/demo"), Health::SERVING);
  EXPECT_EQ(Infer(Spec("demo")).size(), 4U);
  ASSERT_TRUE(Unload(Spec("demo")).ok());
  EXPECT_EQ(HealthOf("model/demo"), Health::NOT_SERVING);
  grpc::Status status;
  Infer(Spec("demo"), &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Unload(Spec("demo")).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(HealthOf(""), Health::SERVING);
}

TEST_F(ModelChangesTest, WhatCannotBeLoadedSaysWhy) {
  folder_.AddBroken("broken");
  Start();
  const auto refused = [](const grpc::Status& status, grpc::StatusCode code, const std::string& message) {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(message));
  };
  using grpc::StatusCode;
  refused(Load(Spec("broken")), StatusCode::FAILED_PRECONDITION, "version 1 failed to load: safetensors");
  refused(Load(Spec("nope")), StatusCode::NOT_FOUND, "nope");
  refused(Load(Spec("")), StatusCode::INVALID_ARGUMENT, "model.name is empty");
  refused(Load(Spec("demo", -1)), StatusCode::INVALID_ARGUMENT, "model.version is -1");
  refused(Load(Spec("demo", 0, "stable")), StatusCode::INVALID_ARGUMENT, "model.label is set");
  refused(Unload(Spec("")), StatusCode::INVALID_ARGUMENT, "model.name is empty");
  Start({});
  refused(Load(Spec("broken")), StatusCode::FAILED_PRECONDITION, "repository mode is static");
}

TEST_F(ModelChangesTest, ALabelNamesAVersion) {
  const TestModel& stable = folder_.Add("demo", kConfig, 1, 1);
  const TestModel& canary = folder_.Add("demo", kConfig, 2, 2);
  WriteFile(folder_.root() / "demo" / "versions.json", R"({"version_labels": {"stable": 1, "canary": 2}})");
  Start({});
  EXPECT_EQ(Infer(Spec("demo", 0, "stable")), stable.Alone(kInput));
  EXPECT_EQ(Infer(Spec("demo", 0, "canary")), canary.Alone(kInput));
  grpc::Status status;
  Infer(Spec("demo", 2, "stable"), &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("model.label and model.version are both set"));
  Infer(Spec("demo", 0, "nightly"), &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ModelChangesTest, AnOpenSessionStaysOnItsVersion) {
  const TestModel& old = folder_.Add("demo", kConfig, 1);
  Start();
  ASSERT_TRUE(Load(Spec("demo")).ok());
  RawStream stream(server_->channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  const TestModel& fresh = folder_.Add("demo", kConfig, 2);
  ASSERT_TRUE(Load(Spec("demo")).ok());
  EXPECT_EQ(Elements(stream.Call(StepCommand(1, RawTensor({3}, kInput))).output().output()),
            old.Alone(kInput));
  EXPECT_EQ(Infer(Spec("demo")), fresh.Alone(kInput));
  ASSERT_TRUE(Unload(Spec("demo")).ok());
  EXPECT_TRUE(stream.Call(StepCommand(1, RawTensor({3}, kInput))).has_output());
  EXPECT_TRUE(stream.Call(CloseCommand(1)).has_closed());
}

TEST_F(ModelChangesTest, AnOldVersionsSessionsEndAtTheLimit) {
  folder_.Add("demo", kConfig, 1);
  ServerOptions options = Explicit();
  options.load_model = "demo";
  options.old_version_limit = absl::Minutes(2);
  Start(options, &clock_);
  RawStream stream(server_->channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo", "lasting")).has_opened());
  folder_.Add("demo", kConfig, 2);
  ASSERT_TRUE(Load(Spec("demo")).ok());
  clock_.Advance(absl::Minutes(1));
  server_->server().ExpireSessions();
  EXPECT_TRUE(stream.Call(StepCommand(1, RawTensor({3}, kInput))).has_output());
  clock_.Advance(absl::Minutes(1));
  server_->server().ExpireSessions();
  const v1::SessionEvent event = *stream.Next();
  EXPECT_EQ(event.error().reason(), v1::ERROR_REASON_VERSION_RETIRED);
  EXPECT_TRUE(event.error().detached());
  EXPECT_THAT(
      event.error().message(),
      HasSubstr("model \"demo\" version 1 was replaced or unloaded, and sessions may stay on it for 2m"));
  EXPECT_TRUE(stream.Call(OpenCommand(2, "demo", "lasting")).has_opened());
}

TEST_F(ModelChangesTest, ADrainWaitsForNoLoadAndHealthStaysDown) {
  folder_.Add("demo", kConfig, 1);
  Start();
  ASSERT_TRUE(Load(Spec("demo")).ok());
  server_->server().Drain();
  EXPECT_FALSE(Load(Spec("demo")).ok());
}

}  // namespace
}  // namespace gruserve::server

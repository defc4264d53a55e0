// What a client may do to other servers of this kind, over a real socket: ARCHITECTURE.md
// lists by class what they were hit by.

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve::server {
namespace {

using testing::HasSubstr;
using testing::Not;

class HostileClientTest : public testing::Test {
 protected:
  HostileClientTest() {
    folder_.Add("demo", {.input_size = 3, .hidden_size = 4}, 1);
    folder_.AddBroken("broken");
    ServerOptions options;
    options.workers = 1;
    options.repository_mode = "explicit";
    options.load_model = "*";
    server_ = std::make_unique<InProcessServer>(folder_.root(), options);
  }

  static grpc::Status Infer(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context,
                            int64_t time_steps) {
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    const std::vector<float> zeros(static_cast<size_t>(time_steps * 3));
    *request.mutable_input() = RawTensor({time_steps, 3}, zeros);
    v1::InferSequenceResponse response;
    return v1::InferenceService::NewStub(channel)->InferSequence(&context, request, &response);
  }
  grpc::Status Infer(grpc::ClientContext& context, int64_t time_steps) {
    return Infer(server_->channel(), context, time_steps);
  }
  // Others: gRPC may close the connection of whoever does such things.
  void ExpectItServes() {
    grpc::ClientContext context;
    const grpc::Status status = Infer(server_->NewChannel(), context, 2);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  TestRepository folder_;
  std::unique_ptr<InProcessServer> server_;
};

TEST_F(HostileClientTest, ACompressedMessageIsRefusedAndNeverUnfolded) {
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    const grpc::Status status = Infer(context, 10'000);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
    ExpectItServes();
  }
}

TEST_F(HostileClientTest, MetadataBeyondItsLimitIsRefused) {
  grpc::ClientContext context;
  context.AddMetadata("filler", std::string(64 << 10, 'x'));
  EXPECT_EQ(Infer(context, 1).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ExpectItServes();
}

TEST_F(HostileClientTest, NoNameLeavesTheRepositoryAndNoAnswerShowsWhereItIs) {
  const auto models = v1::ModelService::NewStub(server_->channel());
  for (const char* const name : {"..", ".", "", "/", "../demo", "demo/1", "demo/../demo", "/etc", "demo\n"}) {
    grpc::ClientContext load_context, get_context;
    v1::LoadModelRequest load;
    load.mutable_model()->set_name(name);
    v1::LoadModelResponse loaded;
    const grpc::Status of_load = models->LoadModel(&load_context, load, &loaded);
    EXPECT_FALSE(of_load.ok()) << name;
    v1::GetModelRequest get;
    get.mutable_model()->set_name(name);
    v1::GetModelResponse got;
    const grpc::Status of_get = models->GetModel(&get_context, get, &got);
    EXPECT_FALSE(of_get.ok()) << name;
    for (const grpc::Status& status : {of_load, of_get})
      EXPECT_THAT(status.error_message(), Not(HasSubstr(folder_.root().string())));
  }
  grpc::ClientContext context;
  v1::GetModelRequest get;
  get.mutable_model()->set_name("broken");
  v1::GetModelResponse got;
  const grpc::Status status = models->GetModel(&context, get, &got);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), Not(HasSubstr(folder_.root().string())));
  ExpectItServes();
}

}  // namespace
}  // namespace gruserve::server

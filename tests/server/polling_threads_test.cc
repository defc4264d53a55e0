#include "server/polling_threads.h"

#include <grpc/support/cpu.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve::server {
namespace {

class PollingThreadsTest : public testing::Test {
 protected:
  PollingThreadsTest() {
    folder_.Add("demo", {.input_size = 3, .hidden_size = 4}, 1);
    ServerOptions options;
    options.workers = 1;
    server_ = std::make_unique<InProcessServer>(folder_.root(), options);
  }

  void ExpectItAnswers() {
    v1::InferSequenceRequest request;
    request.mutable_model()->set_name("demo");
    const std::vector<float> zeros(6);
    *request.mutable_input() = RawTensor({2, 3}, zeros);
    grpc::ClientContext context;
    v1::InferSequenceResponse response;
    const grpc::Status status =
        v1::InferenceService::NewStub(server_->channel())->InferSequence(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  TestRepository folder_;
  std::unique_ptr<InProcessServer> server_;
};

// What gRPC starts, by its source.
int Started() { return std::clamp(static_cast<int>(gpr_cpu_num_cores()) / 2, 2, 16); }

TEST_F(PollingThreadsTest, OneIsEnough) {
  const PollingThreads threads(1);
  EXPECT_EQ(threads.held(), Started() - 1);
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([this] {
      for (int call = 0; call < 16; ++call) ExpectItAnswers();
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(PollingThreadsTest, AllPollAgainAfterwards) {
  for (int i = 0; i < 8; ++i) {
    const PollingThreads threads(1);
    EXPECT_EQ(threads.held(), Started() - 1);
  }
  ExpectItAnswers();
}

TEST_F(PollingThreadsTest, AsManyAsThereAreHoldsNone) {
  const PollingThreads threads(Started());
  EXPECT_EQ(threads.held(), 0);
  ExpectItAnswers();
}

TEST_F(PollingThreadsTest, WhereNoneWouldBeLeftAllAreLeft) {
  const PollingThreads first(1);
  const PollingThreads second(1);
  EXPECT_EQ(second.held(), 0);
  ExpectItAnswers();
}

}  // namespace
}  // namespace gruserve::server

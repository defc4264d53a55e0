// A whole server's life: models, health, reflection, HTTP, files, and the drain.

#include "server/server.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "tests/server/service_fixture.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;
using HealthResponse = grpc::health::v1::HealthCheckResponse;

class ServerTest : public ServiceTest {
 protected:
  static grpc::Status CheckHealth(const std::string& name, HealthResponse* response) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(name);
    return grpc::health::v1::Health::NewStub(server().channel())->Check(&context, request, response);
  }

  static httplib::Result Get(const Server& of, const std::string& path) {
    return httplib::Client("http://" + of.http_address()).Get(path);
  }

  static std::string ReadFile(const std::filesystem::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
};

TEST_F(ServerTest, ListsModelsFailedOnesToo) {
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(v1::ModelService::NewStub(server().channel())->ListModels(&context, {}, &response).ok());
  std::vector<std::string> names;
  for (const v1::ModelSummary& model : response.models()) {
    names.push_back(model.name());
    const bool broken = model.name() == "broken";
    EXPECT_EQ(model.state(), broken ? v1::MODEL_STATE_FAILED : v1::MODEL_STATE_READY);
    EXPECT_EQ(model.reason().empty(), !broken);
    EXPECT_EQ(model.compute_dtype(), broken ? v1::COMPUTE_DTYPE_UNSPECIFIED : v1::COMPUTE_DTYPE_F32);
  }
  EXPECT_THAT(names, ::testing::ElementsAre("bi", "broken", "cell", "demo", "one"));
}

TEST_F(ServerTest, DescribesAModel) {
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.mutable_model()->set_name("demo");
  v1::GetModelResponse response;
  ASSERT_TRUE(v1::ModelService::NewStub(server().channel())->GetModel(&context, request, &response).ok());
  const v1::ModelDescription& model = response.model();
  EXPECT_EQ(model.summary().state(), v1::MODEL_STATE_READY);
  EXPECT_EQ(model.summary().compute_dtype(), v1::COMPUTE_DTYPE_F32);
  EXPECT_EQ(model.cell_kind(), v1::CELL_KIND_LINEAR_BEFORE_RESET);
  EXPECT_EQ(model.module_kind(), v1::MODULE_KIND_GRU);
  EXPECT_EQ(model.input_size(), 3);
  EXPECT_EQ(model.hidden_size(), 4);
  EXPECT_EQ(model.num_layers(), 2);
  EXPECT_EQ(model.output_size(), 4);
  EXPECT_TRUE(model.steppable());
  EXPECT_EQ(model.state_bytes_per_row(), 2 * 4 * 4);
  EXPECT_EQ(model.gru_cells_per_step(), 2);
  EXPECT_EQ(model.parameter_count(), 3 * 4 * (3 + 4 + 2) + 3 * 4 * (4 + 4 + 2));
  EXPECT_EQ(model.weights_sha256().size(), 64U);
  EXPECT_FALSE(model.kernel_fingerprint().empty());
}

TEST_F(ServerTest, GetModelOfAnUnknownOneIsNotFoundOfAFailedOneFailedPrecondition) {
  const auto stub = v1::ModelService::NewStub(server().channel());
  v1::GetModelRequest request;
  v1::GetModelResponse response;
  request.mutable_model()->set_name("nobody");
  grpc::ClientContext first;
  EXPECT_EQ(stub->GetModel(&first, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  request.mutable_model()->set_name("broken");
  grpc::ClientContext second;
  EXPECT_EQ(stub->GetModel(&second, request, &response).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServerTest, HealthAnswersByName) {
  HealthResponse response;
  for (const char* name : {"", "startup", "liveness", "gruserve.v1.InferenceService", "model/demo"}) {
    ASSERT_TRUE(CheckHealth(name, &response).ok()) << name;
    EXPECT_EQ(response.status(), HealthResponse::SERVING) << name;
  }
  ASSERT_TRUE(CheckHealth("model/broken", &response).ok());
  EXPECT_EQ(response.status(), HealthResponse::NOT_SERVING);
  EXPECT_EQ(CheckHealth("nobody", &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

// Asks the reflection service one question, through its own descriptors.
std::string Reflect(const std::shared_ptr<grpc::Channel>& channel, const std::string& field,
                    const std::string& text) {
  using google::protobuf::DescriptorPool;
  const std::string package = "grpc.reflection.v1alpha.";
  const auto* descriptor =
      DescriptorPool::generated_pool()->FindMessageTypeByName(package + "ServerReflectionRequest");
  google::protobuf::DynamicMessageFactory factory;
  const std::unique_ptr<google::protobuf::Message> request(factory.GetPrototype(descriptor)->New());
  request->GetReflection()->SetString(request.get(), descriptor->FindFieldByName(field), text);
  const std::string bytes = request->SerializeAsString();

  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  auto call = stub.PrepareCall(&context, "/" + package + "ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  EXPECT_TRUE(wait());
  const grpc::Slice slice(bytes);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  EXPECT_TRUE(wait());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  EXPECT_TRUE(wait());
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  EXPECT_TRUE(wait());
  grpc::Slice whole;
  EXPECT_TRUE(answer.DumpToSingleSlice(&whole).ok());
  return {reinterpret_cast<const char*>(whole.begin()), whole.size()};
}

TEST_F(ServerTest, ReflectionDescribesEveryServiceHealthToo) {
  const std::string services = Reflect(server().channel(), "list_services", "");
  for (const auto& [name, described] :
       std::map<std::string, std::string>{{"gruserve.v1.InferenceService", "StreamStepsRequest"},
                                          {"gruserve.v1.SessionService", "ListSessionsRequest"},
                                          {"gruserve.v1.ModelService", "GetModelRequest"},
                                          {"grpc.health.v1.Health", "HealthCheckResponse"}}) {
    EXPECT_THAT(services, HasSubstr(name));
    EXPECT_THAT(Reflect(server().channel(), "file_containing_symbol", name), HasSubstr(described));
  }
}

TEST_F(ServerTest, HttpAnswersProbesAndMetrics) {
  const InProcessServer fresh(models().repository.root(), SuiteOptions());
  const auto healthy = Get(fresh.server(), "/healthz");
  ASSERT_TRUE(healthy);
  EXPECT_EQ(healthy->status, 200);
  const auto ready = Get(fresh.server(), "/readyz");
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->status, 200);
  EXPECT_EQ(Get(fresh.server(), "/nothing")->status, 404);

  grpc::ClientContext context;
  v1::ListModelsResponse listed;
  ASSERT_TRUE(v1::ModelService::NewStub(fresh.channel())->ListModels(&context, {}, &listed).ok());
  RawStream stream(fresh.channel());
  ASSERT_TRUE(stream.Call(OpenCommand(1, "demo")).has_opened());
  ASSERT_TRUE(stream.Call(StepCommand(1, RawTensor({3}, std::vector<float>(3)))).has_output());
  const auto metrics = Get(fresh.server(), "/metrics");
  ASSERT_TRUE(metrics);
  for (const char* part :
       {"gruserve_sessions_live 1\n", "gruserve_sessions_attached 1\n", "gruserve_steps_total 1\n",
        "gruserve_batch_rows_count 1\n", "gruserve_queue_wait_seconds_count 1\n",
        "gruserve_step_seconds_count 1\n", "gruserve_models{state=\"READY\"} 4\n",
        "gruserve_models{state=\"FAILED\"} 1\n", "gruserve_rpcs_total{code=\"OK\",method=\"ListModels\"} 1\n",
        "gruserve_sessions_ended_total{cause=\"idle\"} 0\n"}) {
    EXPECT_THAT(metrics->body, HasSubstr(part));
  }
}

TEST_F(ServerTest, PortFilesAppearAndOldOnesGo) {
  const ScratchFolder folder;
  ServerOptions options = SuiteOptions();
  options.port_file = folder / "grpc";
  options.http_port_file = folder / "http";
  {
    const InProcessServer serving(models().repository.root(), options);
    EXPECT_EQ(ReadFile(options.port_file), serving.server().address() + "\n");
    EXPECT_EQ(ReadFile(options.http_port_file), serving.server().http_address() + "\n");
  }
  options.repository = folder / "nowhere";
  options.listen = "127.0.0.1:0";
  options.http_listen = "none";
  EXPECT_THAT(Server::Start(options), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  EXPECT_FALSE(std::filesystem::exists(options.port_file));
  options.repository = models().repository.root();
  options.port_file = folder / "no" / "such" / "folder";
  EXPECT_THAT(Server::Start(options), StatusIs(absl::StatusCode::kInternal, HasSubstr("port file")));
}

TEST_F(ServerTest, AnAddressInUseIsUnavailable) {
  ServerOptions options = SuiteOptions();
  options.repository = models().repository.root();
  options.listen = server().server().address();
  options.http_listen = "none";
  EXPECT_THAT(Server::Start(options), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
  options.listen = "127.0.0.1:0";
  options.http_listen = server().server().http_address();
  EXPECT_THAT(Server::Start(options), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
}

TEST_F(ServerTest, BadOptionsAreInvalidArgument) {
  ServerOptions options = SuiteOptions();
  EXPECT_THAT(Server::Start(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--repository")));
}

void ExpectFarewell(const v1::SessionEvent& event, int64_t next_step) {
  EXPECT_EQ(event.session(), 1U);
  EXPECT_EQ(event.error().reason(), v1::ERROR_REASON_DRAINING) << event.ShortDebugString();
  EXPECT_EQ(event.error().code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_EQ(event.error().expected_step(), next_step);
  EXPECT_TRUE(event.error().detached());
}

TEST_F(ServerTest, TheDrainAnswersWhatItHasSaysWhereItStandsAndEndsStreamsUnavailable) {
  InProcessServer draining(models().repository.root(), SuiteOptions());
  RawStream idle(draining.channel());
  ASSERT_TRUE(idle.Call(OpenCommand(1, "demo")).has_opened());
  RawStream busy(draining.channel());
  ASSERT_TRUE(busy.Call(OpenCommand(1, "one")).has_opened());
  v1::StreamStepsRequest request;
  for (int i = 0; i < 20; ++i)
    *request.add_commands() = StepCommand(1, RawTensor({1000, 3}, std::vector<float>(3000)));
  ASSERT_TRUE(busy.Send(request));
  ASSERT_TRUE(busy.Next()->has_output());

  const auto health = grpc::health::v1::Health::NewStub(draining.channel());
  grpc::ClientContext watching;
  const auto watch = health->Watch(&watching, {});
  HealthResponse state;
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthResponse::SERVING);

  std::thread drain([&] { draining.server().Drain(); });
  int answered = 1;
  v1::SessionEvent last;
  while (const auto event = busy.Next()) {
    answered += event->has_output() ? 1 : 0;
    last = *event;
  }
  EXPECT_EQ(answered, 20);
  ExpectFarewell(last, 20'001);
  EXPECT_EQ(busy.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  ExpectFarewell(idle.Next().value(), 1);
  EXPECT_FALSE(idle.Next());
  EXPECT_EQ(idle.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthResponse::NOT_SERVING);
  EXPECT_EQ(Get(draining.server(), "/readyz")->status, 503);
  drain.join();
  EXPECT_EQ(Get(draining.server(), "/healthz")->status, 200);
}

TEST_F(ServerTest, TheDrainCutsWhatDoesNotEnd) {
  ServerOptions options = SuiteOptions();
  options.drain_timeout = absl::ZeroDuration();
  options.max_message_bytes = 64 << 20;
  const InProcessServer hurried(models().repository.root(), options);
  v1::InferSequenceRequest request;
  request.mutable_model()->set_name("one");
  *request.mutable_input() = RawTensor({400'000, 3}, std::vector<float>(1'200'000));
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::thread caller([&] {
    grpc::ClientContext context;
    v1::InferSequenceResponse response;
    code = v1::InferenceService::NewStub(hurried.channel())
               ->InferSequence(&context, request, &response)
               .error_code();
  });
  RawStream unread(hurried.channel());
  ASSERT_TRUE(unread.Call(OpenCommand(1, "demo")).has_opened());
  hurried.server().Drain();
  caller.join();
  EXPECT_TRUE(code == grpc::StatusCode::CANCELLED || code == grpc::StatusCode::UNAVAILABLE ||
              code == grpc::StatusCode::OK)
      << code;
}

TEST_F(ServerTest, ASlowReaderPausesItsStreamAndLosesNothing) {
  constexpr int kMessages = 300;
  constexpr int64_t kSteps = 60;
  constexpr int64_t kRows = 64;
  ServerOptions options = SuiteOptions();
  options.max_owed_bytes = 1024;
  options.max_inflight_per_session = kMessages;
  const InProcessServer slow(models().repository.root(), options);
  // A client that takes in no more than a fixed window unread.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  RawStream stream(
      grpc::CreateCustomChannel(slow.server().address(), grpc::InsecureChannelCredentials(), arguments));
  v1::SessionCommand open = OpenCommand(1, "one");
  open.mutable_open()->set_batch_size(kRows);
  ASSERT_TRUE(stream.Call(open).has_opened());
  std::thread writer([&] {
    const v1::SessionCommand chunk = StepCommand(
        1, RawTensor({kSteps, kRows, 3}, std::vector<float>(static_cast<size_t>(kSteps * kRows * 3))));
    for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(stream.Send(chunk));
    stream.HalfClose();
  });
  // Nobody reads: what the server owes grows until it stops reading, too.
  const absl::Time give_up = absl::Now() + absl::Seconds(60);
  const auto paused = [&] {
    return Get(slow.server(), "/metrics")->body.find("gruserve_stream_read_pauses_total 0\n") ==
           std::string::npos;
  };
  while (!paused() && absl::Now() < give_up) std::this_thread::yield();
  EXPECT_TRUE(paused());
  int64_t next = 1;
  while (const auto event = stream.Next()) {
    ASSERT_TRUE(event->has_output()) << event->ShortDebugString();
    EXPECT_EQ(event->output().index(), next);
    next += kSteps;
  }
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(next, kMessages * kSteps + 1);
}

}  // namespace
}  // namespace gruserve::server

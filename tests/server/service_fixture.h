// One server for all tests of a suite, with a model of each kind.

#ifndef GRUSERVE_TESTS_SERVER_SERVICE_FIXTURE_H_
#define GRUSERVE_TESTS_SERVER_SERVICE_FIXTURE_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/session_service.grpc.pb.h"
#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_repository.h"

namespace gruserve::server {

// "demo": two layers, 3 to 4. "bi": bidirectional, 3 to 5. "one": one layer, 3 to
// 6. "cell": a GRUCell, 5 to 10. "broken": cannot be loaded.
struct TestModels {
  TestModels()
      : demo(Add("demo", {.input_size = 3, .hidden_size = 4, .num_layers = 2}, 1)),
        bi(Add("bi", {.input_size = 3, .hidden_size = 5, .num_directions = 2}, 2)),
        one(Add("one", {.input_size = 3, .hidden_size = 6}, 3)),
        cell(Add("cell", {.module_kind = ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10}, 4)) {
    repository.AddBroken("broken");
  }

  TestRepository repository;
  const TestModel& demo;
  const TestModel& bi;
  const TestModel& one;
  const TestModel& cell;

 private:
  const TestModel& Add(const std::string& name, const GruConfig& config, uint32_t seed) {
    return repository.Add(name, config, seed);
  }
};

class ServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    models_ = new TestModels();
    server_ = new InProcessServer(models_->repository.root(), SuiteOptions());
  }
  static void TearDownTestSuite() {
    delete server_;
    delete models_;
  }

  static ServerOptions SuiteOptions() {
    ServerOptions options;
    options.workers = 1;
    options.max_message_bytes = 1 << 20;
    return options;
  }

  static const TestModels& models() { return *models_; }
  static InProcessServer& server() { return *server_; }
  static std::unique_ptr<v1::InferenceService::Stub> inference() {
    return v1::InferenceService::NewStub(server_->channel());
  }
  static std::unique_ptr<v1::SessionService::Stub> sessions() {
    return v1::SessionService::NewStub(server_->channel());
  }

 private:
  static inline TestModels* models_ = nullptr;
  static inline InProcessServer* server_ = nullptr;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_TESTS_SERVER_SERVICE_FIXTURE_H_

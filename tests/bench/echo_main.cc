// bench-echo PORT_FILE
//
// The transport's floor: answers every step with its own input at once, so with a
// message of the size that gruserve-server's has where hidden equals input size, and
// with as many polling threads.

#include <cstdio>
#include <memory>
#include <string>

#include "server/polling_threads.h"
#include "tests/bench/peer_server.h"

namespace gruserve::bench {
namespace {

class EchoSession final : public PeerSession {
 public:
  void Step(const v1::StepInput& step, v1::StepOutput* output) override {
    output->set_index(++steps_);
    *output->mutable_output() = step.input();
    output->set_gru_cell_count(1);
  }

 private:
  int64_t steps_ = 0;
};

class EchoBackend final : public PeerBackend {
 public:
  std::unique_ptr<PeerSession> OpenSession(const std::string&) override {
    return std::make_unique<EchoSession>();
  }
  grpc::Status InferSequence(const v1::InferSequenceRequest& request,
                             v1::InferSequenceResponse* response) override {
    *response->mutable_output() = request.input();
    return grpc::Status::OK;
  }
};

}  // namespace
}  // namespace gruserve::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench-echo PORT_FILE\n", stderr);
    return 2;
  }
  const gruserve::server::PollingThreads threads(0);
  gruserve::bench::EchoBackend backend;
  return gruserve::bench::ServePeer(&backend, argv[1]);
}

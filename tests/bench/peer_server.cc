#include "tests/bench/peer_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "server/port_file.h"
#include "server/shutdown_signal.h"
#include "tests/bench/calm_process.h"

namespace gruserve::bench {
namespace {

constexpr int kMaxMessageBytes = 256 << 20;

class PeerService final : public v1::InferenceService::CallbackService {
 public:
  explicit PeerService(PeerBackend* backend) : backend_(backend) {}

  grpc::ServerBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse>* StreamSteps(
      grpc::CallbackServerContext*) override {
    return new PeerStream(backend_);
  }

  grpc::ServerUnaryReactor* InferSequence(grpc::CallbackServerContext* context,
                                          const v1::InferSequenceRequest* request,
                                          v1::InferSequenceResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(backend_->InferSequence(*request, response));
    return reactor;
  }

 private:
  PeerBackend* const backend_;
};

// As server/server.cc does it, but for the size of a message.
void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

}  // namespace

int ServePeer(PeerBackend* backend, const std::string& port_file) {
  KeepFreedMemory();
  const server::ShutdownSignal signal;
  PeerService service(backend);
  int port = 0;
  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> grpc_server = builder.BuildAndStart();
  if (grpc_server == nullptr || port == 0) {
    std::fputs("cannot listen on the loopback\n", stderr);
    return 1;
  }
  const absl::Status written = server::WritePortFile(port_file, "127.0.0.1:" + std::to_string(port));
  if (!written.ok()) {
    std::fprintf(stderr, "%s\n", written.ToString().c_str());
    return 1;
  }
  signal.Wait();
  grpc_server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace gruserve::bench

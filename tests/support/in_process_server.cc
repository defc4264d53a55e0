#include "tests/support/in_process_server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/statusor.h"

namespace gruserve {

InProcessServer::InProcessServer(const std::filesystem::path& repository, server::ServerOptions options,
                                 Clock* clock) {
  options.repository = repository.string();
  options.listen = "127.0.0.1:0";
  options.http_listen = "127.0.0.1:0";
  absl::StatusOr<std::unique_ptr<server::Server>> started = server::Server::Start(options, clock);
  if (!started.ok()) {
    std::fprintf(stderr, "the server did not start: %s\n", started.status().ToString().c_str());
    std::abort();
  }
  server_ = *std::move(started);
  channel_ = NewChannel();
}

std::shared_ptr<grpc::Channel> InProcessServer::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace gruserve

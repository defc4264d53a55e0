// A whole server in the test's process, on sockets of its own. Not thread-safe,
// except channel().

#ifndef GRUSERVE_TESTS_SUPPORT_IN_PROCESS_SERVER_H_
#define GRUSERVE_TESTS_SUPPORT_IN_PROCESS_SERVER_H_

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>

#include "core/base/clock.h"
#include "server/server.h"
#include "server/server_options.h"

namespace gruserve {

class InProcessServer {
 public:
  // Serves the models below `repository`. Addresses in `options` are replaced by
  // free ports of 127.0.0.1, and `repository` is filled in. Ends the test program
  // where the server does not start.
  explicit InProcessServer(const std::filesystem::path& repository, server::ServerOptions options = {},
                           Clock* clock = Clock::Real());

  server::Server& server() const { return *server_; }
  // One connection, kept.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Another connection.
  std::shared_ptr<grpc::Channel> NewChannel() const;

 private:
  std::unique_ptr<server::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_IN_PROCESS_SERVER_H_

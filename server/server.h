// A whole gruserve server: models, sessions, compute, gRPC and HTTP.
//
// Thread-safe. The destructor drains as Drain does.

#ifndef GRUSERVE_SERVER_SERVER_H_
#define GRUSERVE_SERVER_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "server/server_options.h"

namespace gruserve::server {

class Server {
 public:
  // Listens, loads every model, then serves: on return each model is READY or
  // FAILED, health is SERVING and the port files are there.
  //   InvalidArgument  an option
  //   NotFound         no such repository
  //   Unavailable      an address that cannot be bound
  // REQUIRES: `clock` outlives the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       Clock* clock = Clock::Real());
  ~Server();

  // "host:port" of gRPC, with the port that was picked.
  const std::string& address() const;
  // The same of HTTP; empty where it is off.
  const std::string& http_address() const;

  // Not ready; refuses what is new; answers what runs, for up to
  // `drain_timeout`; then ends every RPC. A second call does nothing.
  void Drain();

  // Ends the sessions that are due at the clock's time, without waiting for the
  // reaper to notice.
  void ExpireSessions();

 private:
  struct Rooms;
  explicit Server(std::unique_ptr<Rooms> rooms);

  const std::unique_ptr<Rooms> rooms_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SERVER_H_

// The HTTP side: /metrics for Prometheus, /healthz and /readyz for probes.
//
// Owns its threads; the destructor stops them. Thread-safe.

#ifndef GRUSERVE_SERVER_HTTP_ENDPOINT_H_
#define GRUSERVE_SERVER_HTTP_ENDPOINT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/server_options.h"

namespace gruserve::server {

class HttpEndpoint {
 public:
  // Called from the endpoint's threads, until it is destroyed.
  struct Sources {
    std::function<std::string()> metrics;
    std::function<bool()> ready;
  };

  // Listens at once. Unavailable where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const HostPort& where, Sources sources);
  ~HttpEndpoint();

  // "host:port", with the port that was picked.
  const std::string& address() const { return address_; }

 private:
  struct Listener;
  HttpEndpoint(std::unique_ptr<Listener> listener, std::string address);

  const std::unique_ptr<Listener> listener_;
  const std::string address_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_HTTP_ENDPOINT_H_

#include "server/http_endpoint.h"

#include <httplib.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"

namespace gruserve::server {
namespace {

constexpr int kThreads = 2;
constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

struct HttpEndpoint::Listener {
  httplib::Server server;
  absl::Notification listening;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const HostPort& where, Sources sources) {
  auto listener = std::make_unique<Listener>();
  httplib::Server& server = listener->server;
  // Not SO_REUSEPORT: two servers must not share a port by mistake.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  // The queue is made when the server listens: from then on it can be stopped.
  server.new_task_queue = [listening = &listener->listening] {
    listening->Notify();
    return new httplib::ThreadPool(kThreads);
  };
  server.Get("/metrics",
             [metrics = std::move(sources.metrics)](const httplib::Request&, httplib::Response& response) {
               response.set_content(metrics(), kPrometheusText);
             });
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", kText);
  });
  server.Get("/readyz",
             [ready = std::move(sources.ready)](const httplib::Request&, httplib::Response& response) {
               const bool is_ready = ready();
               response.status = is_ready ? 200 : 503;
               response.set_content(is_ready ? "ready\n" : "not ready\n", kText);
             });

  int port = where.port;
  const bool bound =
      port == 0 ? (port = server.bind_to_any_port(where.host)) > 0 : server.bind_to_port(where.host, port);
  if (!bound) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", JoinHostPort(where), " for HTTP: is it in use?"));
  }
  listener->thread = std::thread([&server] { server.listen_after_bind(); });
  listener->listening.WaitForNotification();
  return std::unique_ptr<HttpEndpoint>(
      new HttpEndpoint(std::move(listener), JoinHostPort({where.host, port})));
}

HttpEndpoint::HttpEndpoint(std::unique_ptr<Listener> listener, std::string address)
    : listener_(std::move(listener)), address_(std::move(address)) {}

HttpEndpoint::~HttpEndpoint() {
  listener_->server.stop();
  listener_->thread.join();
}

}  // namespace gruserve::server

#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace gruserve {
namespace {

constexpr size_t kMostWaiting = 64 << 10;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (port == 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// Small messages must not wait for each other's acknowledgements.
void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Closes with a reset, so that the other side knows at once.
void CloseHard(int fd) {
  if (fd < 0) return;
  const linger hard{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close(fd);
}

}  // namespace

TcpProxy::TcpProxy(int target) : target_(target) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  const bool listens = bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                       listen(listener_, SOMAXCONN) == 0 &&
                       getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                       pipe2(wake_, O_NONBLOCK | O_CLOEXEC) == 0;
  if (!listens) abort();
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  stop_ = true;
  Wake();
  thread_.join();
  Cut();
  close(listener_);
  close(wake_[0]);
  close(wake_[1]);
}

std::string TcpProxy::address() const { return "127.0.0.1:" + std::to_string(port_); }

void TcpProxy::Wake() { static_cast<void>(!write(wake_[1], "w", 1)); }

void TcpProxy::Reset(Link& link) {
  CloseHard(link.client);
  CloseHard(link.server);
}

void TcpProxy::Cut() {
  {
    const absl::MutexLock lock(&mu_);
    for (Link& link : links_) Reset(link);
    links_.clear();
  }
  Wake();
}

void TcpProxy::CutAfter(int64_t bytes) {
  const absl::MutexLock lock(&mu_);
  cut_after_ = bytes;
}

void TcpProxy::set_stalled(bool stalled) {
  stalled_ = stalled;
  Wake();
}

void TcpProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0) return;
  Link link;
  link.client = client;
  link.server = Connect(target_);
  if (link.server < 0) {
    CloseHard(client);
  } else {
    SendAtOnce(link.client);
    SendAtOnce(link.server);
    links_.push_back(std::move(link));
  }
}

bool TcpProxy::Move(int from, int to, std::vector<char>* waiting, bool readable, int64_t* passed) {
  if (readable && waiting->size() < kMostWaiting) {
    char bytes[16 << 10];
    const ssize_t got = recv(from, bytes, sizeof(bytes), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got > 0) waiting->insert(waiting->end(), bytes, bytes + got);
  }
  if (waiting->empty()) return true;
  const ssize_t sent = send(to, waiting->data(), waiting->size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN;
  *passed += sent;
  waiting->erase(waiting->begin(), waiting->begin() + sent);
  return true;
}

void TcpProxy::Run() {
  while (!stop_) {
    std::vector<pollfd> polled = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    {
      const absl::MutexLock lock(&mu_);
      for (const Link& link : links_) {
        const auto events = [&](const std::vector<char>& in, const std::vector<char>& out) {
          if (stalled_) return short{0};
          return static_cast<short>((in.size() < kMostWaiting ? POLLIN : 0) | (out.empty() ? 0 : POLLOUT));
        };
        polled.push_back({link.client, events(link.to_server, link.to_client), 0});
        polled.push_back({link.server, events(link.to_client, link.to_server), 0});
      }
    }
    poll(polled.data(), polled.size(), -1);
    char drop[64];
    while (read(wake_[0], drop, sizeof(drop)) > 0) {
    }
    const absl::MutexLock lock(&mu_);
    if (polled[1].revents != 0) Accept();
    size_t at = 2;
    for (auto link = links_.begin(); link != links_.end() && at + 1 < polled.size(); at += 2) {
      // A cut came between: what was polled is of links that are gone.
      if (link->client != polled[at].fd || link->server != polled[at + 1].fd) break;
      int64_t ignored = 0;
      int64_t passed = 0;
      bool whole = stalled_ || (Move(link->client, link->server, &link->to_server,
                                     (polled[at].revents & ~POLLOUT) != 0, &ignored) &&
                                Move(link->server, link->client, &link->to_client,
                                     (polled[at + 1].revents & ~POLLOUT) != 0, &passed));
      if (cut_after_ >= 0) {
        cut_after_ -= passed;
        if (cut_after_ < 0) whole = false;
      }
      if (!whole) Reset(*link);
      link = whole ? std::next(link) : links_.erase(link);
    }
  }
}

}  // namespace gruserve

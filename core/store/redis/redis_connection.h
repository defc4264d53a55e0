// One connection to a Redis or Valkey server, and commands sent together on it.
//
// Not thread-safe. Calls block for at most the timeout. After any error of the
// connection it is broken for good: make another.

#ifndef GRUSERVE_CORE_STORE_REDIS_REDIS_CONNECTION_H_
#define GRUSERVE_CORE_STORE_REDIS_REDIS_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/store/redis/tls_socket.h"

struct redisContext;

namespace gruserve {

struct RedisAddress {
  std::string host;  // Empty: by `unix_socket`.
  int port = 6379;
  std::string unix_socket;      // A path.
  std::optional<TlsFiles> tls;  // Over TLS, where there is a host.
  int database = 0;
  std::string user;                           // Empty: Redis' default user.
  std::string password;                       // Empty: none.
  absl::Duration timeout = absl::Seconds(2);  // To connect, and of each exchange.
};

// One command, or one value of a reply.
using RedisCommand = std::vector<std::string>;

// What a server answers: a text, a number as text, an error, nothing, or several.
struct RedisReply {
  enum class Kind { kText, kError, kNil, kList };
  Kind kind = Kind::kNil;
  std::string text;
  std::vector<RedisReply> list;
};

class RedisConnection {
 public:
  // Connects, says who it is, and selects the database. Unavailable, or
  // PermissionDenied where the server does not know the user; with TLS as
  // TlsSocket::Connect, too.
  static absl::StatusOr<std::unique_ptr<RedisConnection>> Open(const RedisAddress& address);

  // Sends all, then reads as many replies. Unavailable where the connection broke:
  // any of them may have been done or not.
  absl::StatusOr<std::vector<RedisReply>> Exchange(std::span<const RedisCommand> commands);
  absl::StatusOr<RedisReply> Exchange(const RedisCommand& command);
  // The same of all as one transaction, or, where Redis takes one of them not, of none: then
  // each is answered with why. Redis with `appendfsync always` syncs once for all, not once
  // for each 16 KiB that it reads.
  absl::StatusOr<std::vector<RedisReply>> Transact(std::span<const RedisCommand> commands);

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };

  RedisConnection() = default;
  absl::Status Broken() const;
  // REQUIRES: no SIGPIPE can come.
  absl::Status Send(const RedisCommand& command);
  absl::StatusOr<RedisReply> Receive();
  // The next reply over TLS, once all that was sent has left. hiredis' own.
  absl::StatusOr<void*> ReceiveTls();
  absl::Status Introduce(const RedisAddress& address);

  std::unique_ptr<redisContext, Free> context_;
  std::unique_ptr<TlsSocket> tls_;  // Over the context's socket; null without.
  std::string unsent_;              // With TLS.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_REDIS_REDIS_CONNECTION_H_

#include "core/store/redis/redis_connection.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <signal.h>

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

// hiredis 0.14 writes to a socket whose other end may be gone, and that raises SIGPIPE.
// Blocks it for this thread, and takes back what came meanwhile.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    while (!was_pending_ && sigtimedwait(&sigpipe_, nullptr, &now) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t sigpipe_;
  sigset_t before_;
  bool was_pending_ = false;
};

RedisReply Copy(const redisReply& reply) {
  RedisReply copy;
  switch (reply.type) {
    case REDIS_REPLY_ERROR:
      copy.kind = RedisReply::Kind::kError;
      copy.text.assign(reply.str, reply.len);
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      copy.kind = RedisReply::Kind::kText;
      copy.text.assign(reply.str, reply.len);
      break;
    case REDIS_REPLY_INTEGER:
      copy.kind = RedisReply::Kind::kText;
      copy.text = absl::StrCat(reply.integer);
      break;
    case REDIS_REPLY_ARRAY:
      copy.kind = RedisReply::Kind::kList;
      for (size_t i = 0; i < reply.elements; ++i) copy.list.push_back(Copy(*reply.element[i]));
      break;
    default:
      break;
  }
  return copy;
}

}  // namespace

void RedisConnection::Free::operator()(redisContext* context) const {
  const NoSigpipe no_sigpipe;
  redisFree(context);
}

absl::StatusOr<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisAddress& address) {
  const NoSigpipe no_sigpipe;
  const timeval timeout = absl::ToTimeval(address.timeout);
  std::unique_ptr<RedisConnection> connection(new RedisConnection());
  connection->context_.reset(address.host.empty()
                                 ? redisConnectUnixWithTimeout(address.unix_socket.c_str(), timeout)
                                 : redisConnectWithTimeout(address.host.c_str(), address.port, timeout));
  if (connection->context_ == nullptr) return absl::UnavailableError("no memory for a connection to Redis");
  if (connection->context_->err != 0) return connection->Broken();
  redisSetTimeout(connection->context_.get(), timeout);
  if (address.tls.has_value() && !address.host.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(connection->tls_,
                              TlsSocket::Connect(connection->context_->fd, address.host, *address.tls));
  }
  GRUSERVE_RETURN_IF_ERROR(connection->Introduce(address));
  return connection;
}

absl::Status RedisConnection::Introduce(const RedisAddress& address) {
  std::vector<RedisCommand> commands;
  if (!address.user.empty()) {
    commands.push_back({"AUTH", address.user, address.password});
  } else if (!address.password.empty()) {
    commands.push_back({"AUTH", address.password});
  }
  commands.push_back({"SELECT", absl::StrCat(address.database)});
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<RedisReply> replies, Exchange(commands));
  for (const RedisReply& reply : replies) {
    if (reply.kind != RedisReply::Kind::kError) continue;
    const bool denied = reply.text.rfind("WRONGPASS", 0) == 0 || reply.text.rfind("NOAUTH", 0) == 0 ||
                        reply.text.rfind("ERR AUTH", 0) == 0;
    const std::string text = absl::StrCat("Redis refuses the connection: ", reply.text);
    return denied ? absl::PermissionDeniedError(text) : absl::UnavailableError(text);
  }
  return absl::OkStatus();
}

absl::Status RedisConnection::Broken() const {
  return absl::UnavailableError(absl::StrCat("the connection to Redis broke: ", context_->errstr));
}

absl::Status RedisConnection::Send(const RedisCommand& command) {
  std::vector<const char*> words;
  std::vector<size_t> sizes;
  for (const std::string& word : command) {
    words.push_back(word.data());
    sizes.push_back(word.size());
  }
  if (tls_ != nullptr) {
    char* packed = nullptr;
    const auto size =  // An int in hiredis 0.14, a long long from 1.0 on.
        redisFormatCommandArgv(&packed, static_cast<int>(words.size()), words.data(), sizes.data());
    if (size < 0) return absl::UnavailableError("no memory for a command to Redis");
    unsent_.append(packed, static_cast<size_t>(size));
    redisFreeCommand(packed);
    return absl::OkStatus();
  }
  const int sent =
      redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(), sizes.data());
  return sent == REDIS_OK ? absl::OkStatus() : Broken();
}

absl::StatusOr<RedisReply> RedisConnection::Receive() {
  void* received = nullptr;
  if (tls_ != nullptr) {
    GRUSERVE_ASSIGN_OR_RETURN(received, ReceiveTls());
  } else if (redisGetReply(context_.get(), &received) != REDIS_OK || received == nullptr) {
    return Broken();
  }
  RedisReply reply = Copy(*static_cast<redisReply*>(received));
  freeReplyObject(received);
  Failpoint("pipeline");
  return reply;
}

absl::StatusOr<void*> RedisConnection::ReceiveTls() {
  GRUSERVE_RETURN_IF_ERROR(tls_->Write(unsent_));
  unsent_.clear();
  redisReader* const reader = context_->reader;
  while (true) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) break;
    if (reply != nullptr) return reply;
    char bytes[16384];
    GRUSERVE_ASSIGN_OR_RETURN(const size_t got, tls_->Read(bytes));
    if (redisReaderFeed(reader, bytes, got) != REDIS_OK) break;
  }
  return absl::UnavailableError(absl::StrCat("the connection to Redis broke: ", reader->errstr));
}

absl::StatusOr<std::vector<RedisReply>> RedisConnection::Exchange(std::span<const RedisCommand> commands) {
  const NoSigpipe no_sigpipe;
  for (const RedisCommand& command : commands) GRUSERVE_RETURN_IF_ERROR(Send(command));
  std::vector<RedisReply> replies(commands.size());
  for (RedisReply& reply : replies) {
    GRUSERVE_ASSIGN_OR_RETURN(reply, Receive());
  }
  return replies;
}

absl::StatusOr<std::vector<RedisReply>> RedisConnection::Transact(std::span<const RedisCommand> commands) {
  const NoSigpipe no_sigpipe;
  GRUSERVE_RETURN_IF_ERROR(Send({"MULTI"}));
  for (const RedisCommand& command : commands) GRUSERVE_RETURN_IF_ERROR(Send(command));
  GRUSERVE_RETURN_IF_ERROR(Send({"EXEC"}));
  RedisReply refusal;  // The first: what comes after it follows from it.
  for (size_t i = 0; i < commands.size() + 1; ++i) {
    GRUSERVE_ASSIGN_OR_RETURN(RedisReply taken, Receive());
    if (taken.kind == RedisReply::Kind::kError && refusal.kind == RedisReply::Kind::kNil)
      refusal = std::move(taken);
  }
  GRUSERVE_ASSIGN_OR_RETURN(RedisReply done, Receive());
  if (done.kind == RedisReply::Kind::kList) return std::move(done.list);
  return std::vector<RedisReply>(commands.size(), refusal.kind == RedisReply::Kind::kNil ? done : refusal);
}

absl::StatusOr<RedisReply> RedisConnection::Exchange(const RedisCommand& command) {
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<RedisReply> replies, Exchange(std::span(&command, 1)));
  return std::move(replies.front());
}

}  // namespace gruserve

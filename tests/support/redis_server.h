// Debian's redis-server for a test, on a socket and with files of its own; every write
// is synced. Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_
#define GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/scratch_folder.h"

namespace gruserve {

class RedisServer {
 public:
  // Whether there is one to start.
  static bool Installed();

  // Runs once this returns; ends the test program where it does not start. `options`
  // go to redis-server.
  explicit RedisServer(std::vector<std::string> options = {});
  ~RedisServer();

  const std::string& socket() const { return socket_; }
  // As --store takes it.
  std::string store() const { return "redis-socket:" + socket_; }

  // kill -9.
  void Kill();
  // Again, with what it had written.
  void Start();
  // SIGSTOP and SIGCONT.
  void Pause();
  void Continue();

 private:
  const ScratchFolder folder_;
  const std::vector<std::string> options_;
  const std::string socket_;
  pid_t pid_ = -1;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_

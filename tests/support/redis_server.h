// Debian's redis-server for a test, on a socket and with files of its own; every write
// is synced. Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_
#define GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/certificates.h"
#include "tests/support/scratch_folder.h"

namespace gruserve {

class RedisServer {
 public:
  // Whether there is one to start.
  static bool Installed();

  // Runs once this returns; ends the test program where it does not start. `options`
  // go to redis-server.
  explicit RedisServer(std::vector<std::string> options = {});
  // Also takes TLS on a port of 127.0.0.1, and clients only with a certificate of `ca_file`.
  RedisServer(const CertificateFiles& certificate, const std::string& ca_file);
  ~RedisServer();

  const std::string& socket() const { return socket_; }
  // Of TLS.
  int tls_port() const { return tls_port_; }
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
  // False where it did not start.
  bool TryStart(std::string* said);

  const ScratchFolder folder_;
  std::vector<std::string> options_;
  const std::string socket_;
  int tls_port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_REDIS_SERVER_H_

// A TCP proxy that a test can turn elsewhere, cut, and stall: the network between a
// client and its servers. Thread-safe; one thread of its own.

#ifndef GRUSERVE_TESTS_SUPPORT_TCP_PROXY_H_
#define GRUSERVE_TESTS_SUPPORT_TCP_PROXY_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace gruserve {

class TcpProxy {
 public:
  // Listens on a free port of 127.0.0.1. `target` is a port there; 0: every connection
  // is refused once it is made.
  explicit TcpProxy(int target = 0);
  ~TcpProxy();

  std::string address() const;
  // Of connections from now on.
  void set_target(int port) { target_ = port; }
  // Resets every connection, in the middle of whatever it carries.
  void Cut() ABSL_LOCKS_EXCLUDED(mu_);
  // Of each connection, resets it once so many more bytes came from the server.
  void CutAfter(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // While stalled it takes in nothing and passes nothing on.
  void set_stalled(bool stalled);

 private:
  struct Link {
    int client = -1;
    int server = -1;
    std::vector<char> to_server;
    std::vector<char> to_client;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves what can be moved; false at the end of either side.
  bool Move(int from, int to, std::vector<char>* waiting, bool readable, int64_t* passed);
  void Reset(Link& link);
  void Wake();

  int listener_ = -1;
  int wake_[2] = {-1, -1};
  int port_ = 0;
  std::atomic<int> target_;
  std::atomic<bool> stalled_ = false;
  std::atomic<bool> stop_ = false;
  absl::Mutex mu_;
  std::list<Link> links_ ABSL_GUARDED_BY(mu_);
  int64_t cut_after_ ABSL_GUARDED_BY(mu_) = -1;  // Below 0: never.
  std::thread thread_;                           // Last: it uses all of the above.
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_TCP_PROXY_H_

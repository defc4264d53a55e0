// How many of gRPC's threads wait for messages.
//
// gRPC's callback API starts clamp(processors / 2, 2, 16) threads that share one
// completion queue, whatever a container may use. What one of them sets going, a
// write that ends, say, is handed to another one, which has to be woken for it: on
// two processors that cost more than the rest of a small message. gRPC has no
// option for it; so here each that is too many is given a function that does not return
// (poller_call.h).
//
// The threads belong to the process, not to a server: one object a process.

#ifndef GRUSERVE_SERVER_POLLING_THREADS_H_
#define GRUSERVE_SERVER_POLLING_THREADS_H_

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"

namespace gruserve::server {

class PollingThreads {
 public:
  // Leaves `wanted` threads polling; 0: one for each four processors that this process
  // may use, at least one. Where gRPC has no such threads, or fewer than it should, all
  // are left alone.
  explicit PollingThreads(int wanted);
  // Lets them go on, which gRPC needs for its end.
  ~PollingThreads();
  PollingThreads(const PollingThreads&) = delete;
  PollingThreads& operator=(const PollingThreads&) = delete;

  // Threads that are held.
  int held() const { return static_cast<int>(waits_.size()); }

 private:
  class Wait;

  // Lets all of them go, and waits until they are gone.
  void Release();

  absl::Notification release_;
  std::vector<std::unique_ptr<Wait>> waits_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_POLLING_THREADS_H_

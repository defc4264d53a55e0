// Counts, times and logs every RPC, in one place.

#ifndef GRUSERVE_SERVER_CALL_OBSERVER_H_
#define GRUSERVE_SERVER_CALL_OBSERVER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "server/metrics.h"

namespace gruserve::server {

class CallObserver;

// One RPC from its arrival to its end. Move-only; counts as running until it is
// destroyed. Not thread-safe.
class ObservedCall {
 public:
  ObservedCall(ObservedCall&& other) noexcept
      : observer_(std::exchange(other.observer_, nullptr)),
        method_(std::move(other.method_)),
        begin_(other.begin_) {}
  ObservedCall& operator=(ObservedCall&&) = delete;
  ~ObservedCall();

  // The RPC ended. REQUIRES: called once.
  void End(const absl::Status& status);

 private:
  friend class CallObserver;
  ObservedCall(CallObserver* observer, std::string method, absl::Time begin)
      : observer_(observer), method_(std::move(method)), begin_(begin) {}

  CallObserver* observer_;
  std::string method_;
  const absl::Time begin_;
};

// Thread-safe. Outlives the calls it observes.
class CallObserver {
 public:
  CallObserver(Metrics* metrics, Clock* clock) : metrics_(metrics), clock_(clock) {}

  // An RPC of `method`, a name of ours, arrived.
  ObservedCall Begin(std::string method) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until no observed RPC runs; false where `timeout` came first.
  bool WaitUntilIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class ObservedCall;
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);
  void End(const std::string& method, absl::Time begin, const absl::Status& status);

  Metrics* const metrics_;
  Clock* const clock_;

  absl::Mutex mu_;
  int64_t running_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_CALL_OBSERVER_H_

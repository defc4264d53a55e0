// Counts, times and logs every RPC, in one place.

#ifndef GRUSERVE_SERVER_CALL_OBSERVER_H_
#define GRUSERVE_SERVER_CALL_OBSERVER_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "server/metrics.h"

namespace gruserve::server {

class CallObserver;

// One RPC from its arrival to its end. Not thread-safe.
class ObservedCall {
 public:
  // The RPC ended. REQUIRES: called once.
  void End(const absl::Status& status);

 private:
  friend class CallObserver;
  ObservedCall(CallObserver* observer, std::string method, absl::Time begin)
      : observer_(observer), method_(std::move(method)), begin_(begin) {}

  CallObserver* const observer_;
  const std::string method_;
  const absl::Time begin_;
};

// Thread-safe. Outlives the calls it observes.
class CallObserver {
 public:
  CallObserver(Metrics* metrics, Clock* clock) : metrics_(metrics), clock_(clock) {}

  // An RPC of `method`, a name of ours, arrived.
  ObservedCall Begin(std::string method) { return {this, std::move(method), clock_->Now()}; }

 private:
  friend class ObservedCall;
  void End(const std::string& method, absl::Time begin, const absl::Status& status);

  Metrics* const metrics_;
  Clock* const clock_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_CALL_OBSERVER_H_

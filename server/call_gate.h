// Admits unary calls: bounds how many are in flight, and refuses all of them
// once the server drains. Thread-safe.

#ifndef GRUSERVE_SERVER_CALL_GATE_H_
#define GRUSERVE_SERVER_CALL_GATE_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace gruserve::server {

class CallGate {
 public:
  // One admitted call; leaves when it is destroyed. Move-only.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(CallGate* gate) : gate_(gate) {}
    Slot(Slot&& other) noexcept : gate_(other.gate_) { other.gate_ = nullptr; }
    Slot& operator=(Slot&& other) noexcept;
    ~Slot() { Leave(); }

   private:
    void Leave();
    CallGate* gate_ = nullptr;
  };

  // At most `max_calls` at once; 0: no limit.
  explicit CallGate(int64_t max_calls) : max_calls_(max_calls) {}

  // ResourceExhausted beyond the limit; Unavailable once closed.
  absl::StatusOr<Slot> Enter() ABSL_LOCKS_EXCLUDED(mu_);
  // Unavailable once closed. For calls that need no slot.
  absl::Status CheckOpen() const ABSL_LOCKS_EXCLUDED(mu_);
  // Admits nothing from now on.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);

  const int64_t max_calls_;

  mutable absl::Mutex mu_;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

// What a call gets that comes too late.
absl::Status DrainingStatus();

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_CALL_GATE_H_

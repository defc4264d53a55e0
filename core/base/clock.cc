#include "core/base/clock.h"

#include <chrono>

namespace gruserve {
namespace {

// Counts on the monotonic clock: setting the machine's date expires nothing.
class MonotonicClock : public Clock {
 public:
  absl::Time Now() const override {
    return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }
};

}  // namespace

Clock* Clock::Real() {
  static MonotonicClock* const clock = new MonotonicClock;
  return clock;
}

}  // namespace gruserve

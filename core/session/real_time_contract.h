// What a session declares about its steps in real time: at most one a period, each
// wanted within so long of its arrival.
//
// Pure: no locks, no I/O. Not thread-safe.

#ifndef GRUSERVE_CORE_SESSION_REAL_TIME_CONTRACT_H_
#define GRUSERVE_CORE_SESSION_REAL_TIME_CONTRACT_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace gruserve {

struct RealTimeContract {
  absl::Duration period;    // Positive.
  absl::Duration deadline;  // Positive.

  bool operator==(const RealTimeContract&) const = default;
};

// Gives the steps of one session their due times. Steps that come faster than
// declared are due as if they had come at the declared rate, so that a session that
// breaks its contract takes no time from those that keep theirs (the rule of a
// sporadic server).
class RealTimeClock {
 public:
  explicit RealTimeClock(const RealTimeContract& contract) : contract_(contract) {}

  const RealTimeContract& contract() const { return contract_; }

  // When a step that arrived at `arrived` is due.
  absl::Time Due(absl::Time arrived) {
    const absl::Time released = std::max(arrived, next_release_);
    next_release_ = released + contract_.period;
    return released + contract_.deadline;
  }
  // A step was answered after it was due.
  void CountLate() { ++late_steps_; }
  int64_t late_steps() const { return late_steps_; }

 private:
  const RealTimeContract contract_;
  absl::Time next_release_ = absl::InfinitePast();
  int64_t late_steps_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_REAL_TIME_CONTRACT_H_

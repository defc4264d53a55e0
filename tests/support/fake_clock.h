// A clock that moves when a test says so. Thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_FAKE_CLOCK_H_
#define GRUSERVE_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "core/base/clock.h"

namespace gruserve {

class FakeClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixNanos(nanos_.load()); }
  void Advance(absl::Duration by) { nanos_ += absl::ToInt64Nanoseconds(by); }

 private:
  std::atomic<int64_t> nanos_ = int64_t{1'000'000'000'000};
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_FAKE_CLOCK_H_

// The source of time for everything that expires. Tests bring a fake.
// Thread-safe.

#ifndef GRUSERVE_CORE_BASE_CLOCK_H_
#define GRUSERVE_CORE_BASE_CLOCK_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace gruserve {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The machine's clock; lives for ever.
  static Clock* Real();
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_CLOCK_H_

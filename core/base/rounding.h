// Whole parts of a number. REQUIRES of all: value >= 0, step > 0, and no overflow.

#ifndef GRUSERVE_CORE_BASE_ROUNDING_H_
#define GRUSERVE_CORE_BASE_ROUNDING_H_

#include <cstdint>

namespace gruserve {

// How many steps reach `value`.
constexpr int64_t CeilDivide(int64_t value, int64_t step) { return (value + step - 1) / step; }

// The first multiple of `step` from `value` on.
constexpr int64_t RoundUp(int64_t value, int64_t step) { return CeilDivide(value, step) * step; }

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_ROUNDING_H_

// bfloat16, the upper half of a float: its bits, and rows of them.
// Thread-safe.

#ifndef GRUSERVE_CORE_BASE_BF16_H_
#define GRUSERVE_CORE_BASE_BF16_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace gruserve {

// The nearest bfloat16, of two equally near ones the even one. Too large a number
// becomes infinite, a NaN stays one.
inline uint16_t RoundToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline float FromBf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// The same for `count` of them. The arrays do not overlap.
void RoundToBf16(const float* source, int64_t count, uint16_t* target);
void FromBf16(const uint16_t* source, int64_t count, float* target);

// Both: the nearest number that a bfloat16 holds. The arrays may be one.
void RoundInBf16(const float* source, int64_t count, float* target);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_BF16_H_

#include "core/base/bf16.h"

#include <cstddef>
#include <cstring>

// Sixteen numbers at a time where AVX-512 holds them in a register; asked of the
// processor here, since the program is built for all of its kind.
#ifdef __x86_64__
#define GRUSERVE_WIDE __attribute__((target("avx512f,avx512bw")))
#else
#define GRUSERVE_WIDE
#endif

namespace gruserve {
namespace {

constexpr size_t kLanes = 16;

// The compiler's own vector types: gcc and clang have both.
using Words = uint32_t __attribute__((vector_size(kLanes * sizeof(uint32_t))));
using Halves = uint16_t __attribute__((vector_size(kLanes * sizeof(uint16_t))));

bool HasWideRegisters() {
#ifdef __x86_64__
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  return has;
#else
  return false;
#endif
}

// The bits of bfloat16s, in the lower halves.
GRUSERVE_WIDE inline Words Round(Words bits) {
  const Words upper = bits >> 16;
  const auto nan = reinterpret_cast<Words>((bits & 0x7FFFFFFFU) > 0x7F800000U);
  const Words rounded = (bits + 0x7FFFU + (upper & 1U)) >> 16;
  return (nan & (upper | 0x40U)) | (~nan & rounded);
}

// All answer how many they did: all but the last few.
GRUSERVE_WIDE size_t RoundMany(const float* source, size_t count, uint16_t* target) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Words bits;
    std::memcpy(&bits, source + i, sizeof(bits));
    const auto halves = __builtin_convertvector(Round(bits), Halves);
    std::memcpy(target + i, &halves, sizeof(halves));
  }
  return i;
}

GRUSERVE_WIDE size_t RoundManyToFloats(const float* source, size_t count, float* target) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Words bits;
    std::memcpy(&bits, source + i, sizeof(bits));
    bits = Round(bits) << 16;
    std::memcpy(target + i, &bits, sizeof(bits));
  }
  return i;
}

GRUSERVE_WIDE size_t WidenMany(const uint16_t* source, size_t count, float* target) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Halves halves;
    std::memcpy(&halves, source + i, sizeof(halves));
    const Words bits = __builtin_convertvector(halves, Words) << 16;
    std::memcpy(target + i, &bits, sizeof(bits));
  }
  return i;
}

}  // namespace

void RoundToBf16(const float* source, int64_t count, uint16_t* target) {
  const auto size = static_cast<size_t>(count);
  for (size_t i = HasWideRegisters() ? RoundMany(source, size, target) : 0; i < size; ++i) {
    target[i] = RoundToBf16(source[i]);
  }
}

void FromBf16(const uint16_t* source, int64_t count, float* target) {
  const auto size = static_cast<size_t>(count);
  for (size_t i = HasWideRegisters() ? WidenMany(source, size, target) : 0; i < size; ++i) {
    target[i] = FromBf16(source[i]);
  }
}

void RoundInBf16(const float* source, int64_t count, float* target) {
  const auto size = static_cast<size_t>(count);
  for (size_t i = HasWideRegisters() ? RoundManyToFloats(source, size, target) : 0; i < size; ++i) {
    target[i] = FromBf16(RoundToBf16(source[i]));
  }
}

}  // namespace gruserve

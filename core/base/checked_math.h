// Arithmetic on sizes that came from outside: a wrap is an answer, not a value.

#ifndef GRUSERVE_CORE_BASE_CHECKED_MATH_H_
#define GRUSERVE_CORE_BASE_CHECKED_MATH_H_

#include <cstdint>
#include <optional>
#include <span>

namespace gruserve {

// a * b, or nothing where it does not fit.
inline std::optional<int64_t> CheckedMultiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// a + b, or nothing where it does not fit.
inline std::optional<int64_t> CheckedAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

// The product of all `dims` (1 for none); nothing where one is negative or the
// product does not fit.
inline std::optional<int64_t> CheckedProduct(std::span<const int64_t> dims) {
  int64_t product = 1;
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) return std::nullopt;
  }
  return product;
}

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_CHECKED_MATH_H_

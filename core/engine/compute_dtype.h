// The numbers that a model's primitives compute with. Thread-safe.

#ifndef GRUSERVE_CORE_ENGINE_COMPUTE_DTYPE_H_
#define GRUSERVE_CORE_ENGINE_COMPUTE_DTYPE_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace gruserve {

enum class ComputeDtype {
  kF32,
  // Weights, inputs and states rounded to bfloat16, sums kept in f32: about twice
  // as fast where the processor has it, and exact to about 3 digits.
  kBf16,
};

// "f32", "bf16".
const char* Name(ComputeDtype dtype);
// The inverse of Name; nothing for any other text.
std::optional<ComputeDtype> ParseComputeDtype(std::string_view text);

// FailedPrecondition, saying what is missing and what to do, where the processor
// (as oneDNN may use it) has no instructions for `dtype`. What oneDNN could only
// emulate counts as missing: it would be slower than f32.
absl::Status CheckProcessorHas(ComputeDtype dtype);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_COMPUTE_DTYPE_H_

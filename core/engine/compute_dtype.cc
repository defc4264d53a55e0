#include "core/engine/compute_dtype.h"

#include <oneapi/dnnl/dnnl.h>

#include "absl/strings/str_cat.h"

namespace gruserve {

const char* Name(ComputeDtype dtype) { return dtype == ComputeDtype::kBf16 ? "bf16" : "f32"; }

std::optional<ComputeDtype> ParseComputeDtype(std::string_view text) {
  for (const ComputeDtype dtype : {ComputeDtype::kF32, ComputeDtype::kBf16}) {
    if (text == Name(dtype)) return dtype;
  }
  return std::nullopt;
}

absl::Status CheckProcessorHas(ComputeDtype dtype) {
  if (dtype == ComputeDtype::kF32) return absl::OkStatus();
  // A set of instructions is a set of bits; that of AMX holds all of AVX512_BF16's.
  const auto has = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
  constexpr auto kWanted = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_bf16);
  if ((has & kWanted) == kWanted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "compute_dtype is bf16, and this processor has neither AVX512_BF16 nor AMX (oneDNN's instruction set "
      "here is 0x",
      absl::Hex(has),
      "): serve the model with compute_dtype f32, or on a processor that has one of them (Intel from Cooper "
      "Lake or Sapphire Rapids on, AMD from Zen 4 on)"));
}

}  // namespace gruserve

#include "core/model/import/tensor_reader.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace gruserve {
namespace {

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const int exponent = (half >> 10) & 0x1F;
  const int mantissa = half & 0x3FF;
  if (exponent == 0x1F) {
    return std::bit_cast<float>(sign | 0x7F800000U | (static_cast<uint32_t>(mantissa) << 13));
  }
  const float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                    : std::ldexp(static_cast<float>(mantissa + 0x400), exponent - 25);
  return sign != 0 ? -value : value;
}

template <typename Stored, typename Convert>
std::vector<float> Converted(std::span<const char> bytes, Convert convert) {
  std::vector<float> floats(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < floats.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    floats[i] = convert(stored);
  }
  return floats;
}

}  // namespace

std::string ShownTensorName(const std::string& name) {
  return name.size() <= 120 ? name : name.substr(0, 120) + "...";
}

absl::StatusOr<std::vector<float>> ReadTensor(const SafetensorsFile& file, const std::string& name,
                                              const SafetensorsEntry& entry,
                                              const std::vector<int64_t>& wanted) {
  if (entry.shape != wanted) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", ShownTensorName(name), " has the shape [",
                                                   absl::StrJoin(entry.shape, ", "), "], expected [",
                                                   absl::StrJoin(wanted, ", "), "]"));
  }
  const std::span<const char> bytes = file.bytes(entry);
  if (entry.dtype == "F32") return Converted<float>(bytes, [](float v) { return v; });
  if (entry.dtype == "F64") return Converted<double>(bytes, [](double v) { return static_cast<float>(v); });
  if (entry.dtype == "F16") return Converted<uint16_t>(bytes, HalfToFloat);
  if (entry.dtype == "BF16") {
    return Converted<uint16_t>(
        bytes, [](uint16_t v) { return std::bit_cast<float>(static_cast<uint32_t>(v) << 16); });
  }
  return absl::InvalidArgumentError(absl::StrCat("tensor ", ShownTensorName(name), " has the dtype ",
                                                 entry.dtype, ", expected F32, F16, BF16 or F64"));
}

}  // namespace gruserve

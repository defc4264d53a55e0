#include "core/session/session_id.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

constexpr size_t kMaxLength = 128;
constexpr size_t kShown = 64;  // Bytes of a refused id that a message repeats.
constexpr size_t kMintedDigits = 32;

bool IsIdChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

absl::Status CheckSessionId(const std::string& id) {
  if (!id.empty() && id.size() <= kMaxLength && absl::ascii_isalnum(static_cast<unsigned char>(id[0])) &&
      std::all_of(id.begin(), id.end(), IsIdChar)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("session_id is \"", absl::CHexEscape(id.substr(0, kShown)),
                                                 id.size() > kShown ? "..." : "", "\" (", id.size(),
                                                 " bytes), must match ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"));
}

bool IsMintedSessionId(std::string_view id) {
  return id.size() == kMintedIdPrefix.size() + kMintedDigits && id.starts_with(kMintedIdPrefix) &&
         std::all_of(id.begin() + static_cast<std::ptrdiff_t>(kMintedIdPrefix.size()), id.end(), IsLowerHex);
}

std::string MintSessionId() {
  // Randen, seeded from the kernel: ids cannot be guessed from others.
  thread_local absl::BitGen generator;
  return absl::StrCat(std::string(kMintedIdPrefix),
                      absl::Hex(absl::Uniform<uint64_t>(generator), absl::kZeroPad16),
                      absl::Hex(absl::Uniform<uint64_t>(generator), absl::kZeroPad16));
}

}  // namespace gruserve

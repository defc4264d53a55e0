#include "core/session/session_id.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

constexpr size_t kMaxLength = 128;
constexpr size_t kShown = 64;  // Bytes of a refused id that a message repeats.
constexpr std::string_view kMintedPrefix = "s-";
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

bool IsMintedSessionId(const std::string& id) {
  return id.size() == kMintedPrefix.size() + kMintedDigits && id.starts_with(kMintedPrefix) &&
         std::all_of(id.begin() + static_cast<std::ptrdiff_t>(kMintedPrefix.size()), id.end(), IsLowerHex);
}

std::string MintSessionId() {
  std::random_device device;  // The kernel's generator: ids must not be guessable.
  std::string id(kMintedPrefix);
  for (int i = 0; i < 4; ++i) absl::StrAppend(&id, absl::Hex(uint32_t{device()}, absl::kZeroPad8));
  return id;
}

}  // namespace gruserve

#include "core/session/compact_session_id.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/session/session_id.h"

namespace gruserve {
namespace {

constexpr size_t kDigits = 16;  // Of half an id.

}  // namespace

CompactSessionId::CompactSessionId(std::string_view id) {
  if (IsMintedSessionId(id)) {
    const char* digits = id.data() + kMintedIdPrefix.size();
    for (uint64_t& half : std::get<Minted>(id_)) {
      std::from_chars(digits, digits + kDigits, half, 16);
      digits += kDigits;
    }
    return;
  }
  Chosen chosen{std::make_unique_for_overwrite<char[]>(id.size()), id.size()};
  std::copy(id.begin(), id.end(), chosen.text.get());
  id_ = std::move(chosen);
}

std::string CompactSessionId::str() const {
  if (const auto* const chosen = std::get_if<Chosen>(&id_)) return std::string(chosen->view());
  const Minted& minted = std::get<Minted>(id_);
  return absl::StrCat(std::string(kMintedIdPrefix), absl::Hex(minted[0], absl::kZeroPad16),
                      absl::Hex(minted[1], absl::kZeroPad16));
}

std::strong_ordering operator<=>(const CompactSessionId& a, const CompactSessionId& b) {
  using Id = CompactSessionId;
  if (a.id_.index() != b.id_.index()) return a.str() <=> b.str();
  if (const auto* const minted = std::get_if<Id::Minted>(&a.id_))
    return *minted <=> std::get<Id::Minted>(b.id_);
  return std::get<Id::Chosen>(a.id_).view() <=> std::get<Id::Chosen>(b.id_).view();
}

}  // namespace gruserve

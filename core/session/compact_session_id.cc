#include "core/session/compact_session_id.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/session/session_id.h"

namespace gruserve {

CompactSessionId::CompactSessionId(std::string_view id) {
  if (IsMintedSessionId(id)) {
    const std::string bytes = absl::HexStringToBytes(std::string(id.substr(kMintedIdPrefix.size())));
    std::copy(bytes.begin(), bytes.end(), std::get<Minted>(id_).begin());
    return;
  }
  Chosen chosen{std::make_unique_for_overwrite<char[]>(id.size()), id.size()};
  std::copy(id.begin(), id.end(), chosen.text.get());
  id_ = std::move(chosen);
}

std::string CompactSessionId::str() const {
  if (const auto* const chosen = std::get_if<Chosen>(&id_)) return std::string(chosen->view());
  const Minted& minted = std::get<Minted>(id_);
  return absl::StrCat(std::string(kMintedIdPrefix),
                      absl::BytesToHexString({reinterpret_cast<const char*>(minted.data()), minted.size()}));
}

std::strong_ordering operator<=>(const CompactSessionId& a, const CompactSessionId& b) {
  using Id = CompactSessionId;
  if (a.id_.index() != b.id_.index()) return a.str() <=> b.str();
  if (const auto* const minted = std::get_if<Id::Minted>(&a.id_))
    return *minted <=> std::get<Id::Minted>(b.id_);
  return std::get<Id::Chosen>(a.id_).view() <=> std::get<Id::Chosen>(b.id_).view();
}

}  // namespace gruserve

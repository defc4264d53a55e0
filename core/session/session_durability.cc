#include "core/session/session_durability.h"

#include "absl/strings/escaping.h"
#include "core/session/session_id.h"

namespace gruserve {
namespace {

constexpr char kBeforeClient = '/';

}  // namespace

std::string MintStoreOwner(const std::string& client_instance) {
  return MintSessionId() + kBeforeClient + absl::BytesToHexString(client_instance);
}

bool SameClient(const std::string& owner, const std::string& other) {
  const size_t at = owner.find(kBeforeClient);
  const size_t other_at = other.find(kBeforeClient);
  return at != std::string::npos && other_at != std::string::npos && at + 1 < owner.size() &&
         owner.substr(at) == other.substr(other_at);
}

}  // namespace gruserve

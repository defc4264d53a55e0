// The names of sessions: which may be chosen, and how the server makes its own.

#ifndef GRUSERVE_CORE_SESSION_SESSION_ID_H_
#define GRUSERVE_CORE_SESSION_SESSION_ID_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace gruserve {

// InvalidArgument unless `id` matches ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$.
absl::Status CheckSessionId(const std::string& id);

constexpr std::string_view kMintedIdPrefix = "s-";
// Whether `id` has the form of a minted one: the prefix and 32 lower-case hex digits.
bool IsMintedSessionId(std::string_view id);

// A new id with 128 random bits. Thread-safe.
std::string MintSessionId();

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_ID_H_

// Which versions of a model are served, and which names they go by: what
// `<root>/<model>/versions.json` says.
//
//   {"version_policy": {"latest": 2}, "version_labels": {"stable": 3, "canary": 4}, "carry_sessions": true}
//
// Plain values.

#ifndef GRUSERVE_CORE_RUNTIME_VERSION_RULES_H_
#define GRUSERVE_CORE_RUNTIME_VERSION_RULES_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace gruserve {

struct VersionPolicy {
  enum class Kind { kAll, kLatest, kSpecific };
  Kind kind = Kind::kAll;
  int64_t latest = 1;                  // kLatest: so many of the highest.
  std::vector<int64_t> versions = {};  // kSpecific.

  // Those of `present` that are to be served.
  std::set<int64_t> Choose(const std::set<int64_t>& present) const;
};

// "all" or "latest:N"; nothing where it is neither.
std::optional<VersionPolicy> ParseVersionPolicy(const std::string& text);

struct VersionRules {
  std::optional<VersionPolicy> policy;    // Absent: the repository's.
  std::map<std::string, int64_t> labels;  // To versions.
  // Sessions on a version that is retired go on on the highest one that serves.
  bool carry_sessions = false;
};

// Reads `file`; without it, no rules. InvalidArgument where it is not sound, naming
// the key, what came and what was wanted.
absl::StatusOr<VersionRules> ReadVersionRules(const std::filesystem::path& file);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_VERSION_RULES_H_

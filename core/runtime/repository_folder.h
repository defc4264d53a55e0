// What lies in a repository's folder, `<root>/<model>/<version>/`, at one moment.
//
// Plain values, and the functions that read them. Nothing of a model is opened.

#ifndef GRUSERVE_CORE_RUNTIME_REPOSITORY_FOLDER_H_
#define GRUSERVE_CORE_RUNTIME_REPOSITORY_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "core/runtime/version_rules.h"

namespace gruserve {

struct VersionFolder {
  std::filesystem::path path;
  std::string stamp;       // Another one where a file of it is another: names, sizes, times.
  int64_t file_bytes = 0;  // Of all its files.
};

struct ModelVersions {
  absl::StatusOr<VersionRules> rules;  // Or why they, or its folder, cannot be read.
  std::map<int64_t, VersionFolder> versions;
};

// Whether it matches ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$.
bool IsModelName(const std::string& name);

// Every model, by name. Versions are decimals >= 1 without leading zeros; other
// entries are ignored, and logged where `log_ignored`. NotFound where the root is no
// folder; Unavailable where it cannot be read to its end.
absl::StatusOr<std::map<std::string, ModelVersions>> ReadRepository(const std::filesystem::path& root,
                                                                    bool log_ignored);
// The same of one model: NotFound where it is not there.
absl::StatusOr<ModelVersions> ReadModelVersions(const std::filesystem::path& root, const std::string& name);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_REPOSITORY_FOLDER_H_

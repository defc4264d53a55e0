#include "core/runtime/repository_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr const char* kLettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t kMaxNameLength = 128;
constexpr const char* kRules = "versions.json";

// A decimal >= 1 without leading zeros; 0 where it is none.
int64_t ParseVersion(const std::string& name) {
  int64_t version = 0;
  const bool plain =
      !name.empty() && name[0] != '0' && name.find_first_not_of("0123456789") == std::string::npos;
  return plain && absl::SimpleAtoi(name, &version) ? version : 0;
}

void LogIgnored(bool log, const std::filesystem::path& path, const char* reason) {
  if (log) Log(LogLevel::kWarning, "repository entry ignored", {{"path", path.string()}, {"reason", reason}});
}

// What is in `parent`, by name. Half of a listing would look as if the rest were gone.
absl::StatusOr<std::vector<std::filesystem::path>> EntriesOf(const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  auto it = std::filesystem::directory_iterator(parent, error);
  for (; !error && it != std::filesystem::end(it); it.increment(error)) entries.push_back(it->path());
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot read ", parent.string(), ": ", error.message()));
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// The folders in `parent`; links to folders count.
absl::StatusOr<std::vector<std::filesystem::path>> Folders(const std::filesystem::path& parent, bool log) {
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<std::filesystem::path> entries, EntriesOf(parent));
  const auto is_none = [log](const std::filesystem::path& entry) {
    std::error_code ignored;
    if (std::filesystem::is_directory(entry, ignored)) return false;
    if (entry.filename() != kRules) LogIgnored(log, entry, "not a folder");
    return true;
  };
  entries.erase(std::remove_if(entries.begin(), entries.end(), is_none), entries.end());
  return entries;
}

// Its files, in folders below it too: external data of an ONNX model may lie there.
absl::StatusOr<VersionFolder> ReadVersion(const std::filesystem::path& path) {
  VersionFolder version{path, "", 0};
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> entries, EntriesOf(path));
  for (const std::filesystem::path& entry : entries) {
    struct stat file {};
    if (stat(entry.c_str(), &file) != 0) continue;
    absl::StrAppend(&version.stamp, entry.filename().string(), "/", file.st_dev, "/", file.st_ino, "/",
                    file.st_size, "/", file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, "\n");
    if (S_ISREG(file.st_mode)) version.file_bytes += file.st_size;
    if (!S_ISDIR(file.st_mode) || std::filesystem::is_symlink(entry)) continue;
    GRUSERVE_ASSIGN_OR_RETURN(const VersionFolder below, ReadVersion(entry));
    version.stamp += below.stamp;
    version.file_bytes += below.file_bytes;
  }
  return version;
}

absl::StatusOr<ModelVersions> ReadVersions(const std::filesystem::path& model, bool log) {
  ModelVersions read{ReadVersionRules(model / kRules), {}};
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> folders, Folders(model, log));
  for (const std::filesystem::path& folder : folders) {
    const int64_t version = ParseVersion(folder.filename().string());
    if (version == 0) {
      LogIgnored(log, folder, "not a version: a decimal from 1 without leading zeros is");
      continue;
    }
    // One that cannot be read fails when it is loaded, with the reason.
    read.versions[version] = ReadVersion(folder).value_or(VersionFolder{folder, "", 0});
  }
  return read;
}

}  // namespace

bool IsModelName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameLength &&
         std::string_view(kLettersAndDigits).find(name[0]) != std::string_view::npos &&
         name.find_first_not_of(std::string(kLettersAndDigits) + "_.-") == std::string::npos;
}

absl::StatusOr<std::map<std::string, ModelVersions>> ReadRepository(const std::filesystem::path& root,
                                                                    bool log_ignored) {
  std::error_code error;
  if (!std::filesystem::is_directory(root, error)) {
    return absl::NotFoundError(absl::StrCat("repository ", root.string(), " is not a folder"));
  }
  std::map<std::string, ModelVersions> models;
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<std::filesystem::path> folders, Folders(root, log_ignored));
  for (const std::filesystem::path& model : folders) {
    const std::string name = model.filename().string();
    if (!IsModelName(name)) {
      LogIgnored(log_ignored, model, "not a model name: letters, digits, _ . - are allowed, 128 at most");
      continue;
    }
    absl::StatusOr<ModelVersions> versions = ReadVersions(model, log_ignored);
    if (!versions.ok()) versions = ModelVersions{versions.status(), {}};
    models.emplace(name, *std::move(versions));
  }
  return models;
}

absl::StatusOr<ModelVersions> ReadModelVersions(const std::filesystem::path& root, const std::string& name) {
  std::error_code error;
  if (!IsModelName(name) || !std::filesystem::is_directory(root / name, error)) {
    return absl::NotFoundError(absl::StrCat("model \"", name, "\" is not in the repository"));
  }
  return ReadVersions(root / name, /*log=*/false);
}

}  // namespace gruserve

#include "core/runtime/model_repository.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/runtime/model_loader.h"

namespace gruserve {
namespace {

constexpr std::string_view kLettersAndDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t kMaxNameLength = 128;

// ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$
bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameLength &&
         kLettersAndDigits.find(name[0]) != std::string_view::npos &&
         name.find_first_not_of(std::string(kLettersAndDigits) + "_.-") == std::string_view::npos;
}

// A decimal >= 1 without leading zeros; 0 where it is none.
int64_t ParseVersion(const std::string& name) {
  int64_t version = 0;
  const bool plain =
      !name.empty() && name[0] != '0' && name.find_first_not_of("0123456789") == std::string::npos;
  return plain && absl::SimpleAtoi(name, &version) ? version : 0;
}

// The folders in `parent`, by name; links to folders count.
std::vector<std::filesystem::path> Folders(const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(parent, error); !error && it != std::filesystem::end(it);
       it.increment(error)) {
    if (it->is_directory(error)) {
      folders.push_back(it->path());
    } else {
      Log(LogLevel::kWarning, "repository entry ignored",
          {{"path", it->path().string()}, {"reason", "not a folder"}});
    }
    error.clear();
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string Named(const std::string& name, int64_t version) {
  return absl::StrCat("model \"", name, "\" version ", version);
}

}  // namespace

ModelRepository::ModelRepository(std::filesystem::path root, int num_workers, ComputeDtype compute_dtype)
    : root_(std::move(root)), num_workers_(num_workers), compute_dtype_(compute_dtype) {}

absl::Status ModelRepository::Load() {
  std::error_code error;
  if (!std::filesystem::is_directory(root_, error)) {
    return absl::NotFoundError(absl::StrCat("repository ", root_.string(), " is not a folder"));
  }
  std::vector<std::pair<std::string, int64_t>> found;
  for (const std::filesystem::path& model : Folders(root_)) {
    const std::string name = model.filename().string();
    if (!IsModelName(name)) {
      Log(LogLevel::kWarning, "repository entry ignored",
          {{"path", model.string()},
           {"reason", "not a model name: letters, digits, _ . - are allowed, 128 at most"}});
      continue;
    }
    for (const std::filesystem::path& folder : Folders(model)) {
      const int64_t version = ParseVersion(folder.filename().string());
      if (version == 0) {
        Log(LogLevel::kWarning, "repository entry ignored",
            {{"path", folder.string()},
             {"reason", "not a version: a decimal from 1 without leading zeros is"}});
        continue;
      }
      found.emplace_back(name, version);
    }
  }
  {
    absl::MutexLock lock(&mu_);
    for (const auto& key : found) entries_[key].status = {.name = key.first, .version = key.second};
  }
  for (const auto& key : found) {
    Publish(key, LoadModel(root_ / key.first / std::to_string(key.second), key.first, key.second,
                           num_workers_, compute_dtype_));
  }
  return absl::OkStatus();
}

void ModelRepository::Publish(const std::pair<std::string, int64_t>& key,
                              absl::StatusOr<ModelHandle> loaded) {
  if (loaded.ok()) {
    const Network& network = (*loaded)->network();
    Log(LogLevel::kInfo, "model ready",
        {{"model", key.first},
         {"version", key.second},
         {"input_size", network.input_size()},
         {"output_size", network.output_size()},
         {"state_size", network.state_size()},
         {"gru_cells_per_step", network.cells_per_step()},
         {"compute_dtype", Name(network.compute_dtype())}});
  } else {
    Log(LogLevel::kError, "model failed",
        {{"model", key.first}, {"version", key.second}, {"reason", std::string(loaded.status().message())}});
  }
  absl::MutexLock lock(&mu_);
  Entry& entry = entries_[key];
  if (loaded.ok()) {
    entry.status.state = ModelState::kReady;
    entry.status.compute_dtype = (*loaded)->network().compute_dtype();
    entry.handle = *std::move(loaded);
  } else {
    entry.status.state = ModelState::kFailed;
    entry.status.reason = std::string(loaded.status().message());
  }
}

std::vector<ModelStatus> ModelRepository::List() const {
  absl::MutexLock lock(&mu_);
  std::vector<ModelStatus> statuses;
  for (const auto& [key, entry] : entries_) statuses.push_back(entry.status);
  return statuses;
}

absl::StatusOr<ModelHandle> ModelRepository::Find(const std::string& name, int64_t version) const {
  absl::MutexLock lock(&mu_);
  const auto begin = entries_.lower_bound({name, 0});
  auto end = begin;
  while (end != entries_.end() && end->first.first == name) ++end;
  if (begin == end) return absl::NotFoundError(absl::StrCat("model \"", name, "\" is not in the repository"));

  const Entry* best = nullptr;
  if (version != 0) {
    const auto it = entries_.find({name, version});
    if (it == entries_.end())
      return absl::NotFoundError(absl::StrCat(Named(name, version), " is not in the repository"));
    best = &it->second;
  } else {
    // The highest READY one; failing that, the highest says why.
    for (auto it = begin; it != end; ++it) {
      const bool ready = it->second.status.state == ModelState::kReady;
      if (best == nullptr || ready || best->status.state != ModelState::kReady) best = &it->second;
    }
  }
  switch (best->status.state) {
    case ModelState::kReady:
      return best->handle;
    case ModelState::kLoading:
      return absl::UnavailableError(absl::StrCat(Named(name, best->status.version), " is still loading"));
    case ModelState::kFailed:
      break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(Named(name, best->status.version), " failed to load: ", best->status.reason));
}

}  // namespace gruserve

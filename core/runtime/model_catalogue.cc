#include "core/runtime/model_catalogue.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace gruserve {
namespace {

std::string Named(const std::string& name, int64_t version) {
  return absl::StrCat("model \"", name, "\" version ", version);
}

}  // namespace

std::vector<ModelStatus> ModelCatalogue::List(const std::string& name) const {
  absl::MutexLock lock(&mu_);
  std::vector<ModelStatus> statuses;
  for (const auto& [key, entry] : entries_) {
    if (!name.empty() && key.first != name) continue;
    statuses.push_back(entry.status);
    const auto labels = labels_.find(key.first);
    if (labels == labels_.end()) continue;
    for (const auto& [label, version] : labels->second) {
      if (version == key.second) statuses.back().labels.push_back(label);
    }
  }
  return statuses;
}

absl::Status ModelCatalogue::NotFound(const std::string& name) const {
  return absl::NotFoundError(absl::StrCat("model \"", name, "\" is not in the repository"));
}

absl::StatusOr<ModelHandle> ModelCatalogue::HandleOr(const Entry& entry) {
  const ModelStatus& status = entry.status;
  switch (status.state) {
    case ModelState::kReady:
      return entry.handle;
    case ModelState::kLoading:
      return absl::UnavailableError(absl::StrCat(Named(status.name, status.version), " is still loading"));
    case ModelState::kFailed:
      break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(Named(status.name, status.version), " failed to load: ", status.reason));
}

absl::StatusOr<ModelHandle> ModelCatalogue::FindVersion(const std::string& name, int64_t version) const {
  const auto begin = entries_.lower_bound({name, 0});
  if (begin == entries_.end() || begin->first.first != name) return NotFound(name);
  if (version != 0) {
    const auto it = entries_.find({name, version});
    if (it != entries_.end()) return HandleOr(it->second);
    return absl::NotFoundError(absl::StrCat(Named(name, version), " is not in the repository"));
  }
  // The highest READY one; failing that, the highest says why.
  const Entry* best = nullptr;
  for (auto it = begin; it != entries_.end() && it->first.first == name; ++it) {
    const bool ready = it->second.status.state == ModelState::kReady;
    if (best == nullptr || ready || best->status.state != ModelState::kReady) best = &it->second;
  }
  return HandleOr(*best);
}

absl::StatusOr<ModelHandle> ModelCatalogue::Find(const std::string& name, int64_t version) const {
  absl::MutexLock lock(&mu_);
  return FindVersion(name, version);
}

absl::StatusOr<ModelHandle> ModelCatalogue::FindLabel(const std::string& name,
                                                      const std::string& label) const {
  absl::MutexLock lock(&mu_);
  const auto begin = entries_.lower_bound({name, 0});
  if (begin == entries_.end() || begin->first.first != name) return NotFound(name);
  const auto labels = labels_.find(name);
  if (labels != labels_.end()) {
    const auto found = labels->second.find(label);
    if (found != labels->second.end()) return FindVersion(name, found->second);
  }
  std::vector<std::string> known;
  if (labels != labels_.end()) {
    for (const auto& [each, version] : labels->second) known.push_back(each);
  }
  return absl::NotFoundError(
      absl::StrCat("model \"", name, "\" has no READY version labelled \"", label,
                   "\"; its labels: ", known.empty() ? "none" : absl::StrJoin(known, ", ")));
}

void ModelCatalogue::Expect(const ModelKey& key) {
  absl::MutexLock lock(&mu_);
  Entry& entry = entries_[key];
  if (entry.handle != nullptr || entry.status.state == ModelState::kFailed) return;
  entry.status = {key.first, key.second, ModelState::kLoading, ""};
}

void ModelCatalogue::Publish(const ModelKey& key, absl::StatusOr<ModelHandle> loaded, absl::Time now) {
  ModelHandle old;  // Goes without the lock.
  absl::MutexLock lock(&mu_);
  Entry& entry = entries_[key];
  entry.status.name = key.first;
  entry.status.version = key.second;
  if (loaded.ok()) {
    entry.status.state = ModelState::kReady;
    entry.status.reason.clear();
    entry.status.compute_dtype = (*loaded)->network().compute_dtype();
    old = std::exchange(entry.handle, *std::move(loaded));
    Retire(old, now);
    return;
  }
  if (entry.handle == nullptr) entry.status.state = ModelState::kFailed;
  entry.status.reason = std::string(loaded.status().message());
}

bool ModelCatalogue::Remove(const ModelKey& key, absl::Time now) {
  Entry removed;  // Goes without the lock.
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return false;
  removed = std::move(found->second);
  entries_.erase(found);
  Retire(removed.handle, now);
  const auto labels = labels_.find(key.first);
  if (labels == labels_.end()) return true;
  for (auto label = labels->second.begin(); label != labels->second.end();) {
    label = label->second == key.second ? labels->second.erase(label) : std::next(label);
  }
  return true;
}

bool ModelCatalogue::Ready(const ModelKey& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second.handle != nullptr;
}

void ModelCatalogue::SetLabels(const std::string& name, const std::map<std::string, int64_t>& labels) {
  absl::MutexLock lock(&mu_);
  const Labels old = std::move(labels_[name]);
  Labels& now = labels_[name];
  now.clear();
  for (const auto& [label, version] : labels) {
    const auto before = old.find(label);
    if (Ready({name, version})) {
      now[label] = version;
    } else if (before != old.end()) {
      now[label] = before->second;
    }
  }
}

void ModelCatalogue::SetCarriesSessions(const std::string& name, bool carries) {
  absl::MutexLock lock(&mu_);
  if (carries) {
    carried_.insert(name);
  } else {
    carried_.erase(name);
  }
}

bool ModelCatalogue::CarriesSessions(const std::string& name) const {
  absl::MutexLock lock(&mu_);
  return carried_.count(name) > 0;
}

ModelHandle ModelCatalogue::Successor(const LoadedModel& retired) const {
  if (carried_.count(retired.name()) == 0) return nullptr;
  const absl::StatusOr<ModelHandle> highest = FindVersion(retired.name(), 0);
  return highest.ok() && (*highest)->network().CanGoOnFrom(retired.network()) ? *highest : nullptr;
}

ModelHandle ModelCatalogue::HandleOf(const ModelKey& key) const {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.handle;
}

std::string ModelCatalogue::ReasonOf(const ModelKey& key) const {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(key);
  return found == entries_.end() ? "" : found->second.status.reason;
}

std::vector<ModelHandle> ModelCatalogue::Serving() const {
  absl::MutexLock lock(&mu_);
  std::vector<ModelHandle> serving;
  for (const auto& [key, entry] : entries_) {
    if (entry.handle != nullptr) serving.push_back(entry.handle);
  }
  return serving;
}

void ModelCatalogue::Retire(const ModelHandle& handle, absl::Time now) {
  const auto gone = [](const WeakRetired& retired) { return retired.model.expired(); };
  retired_.erase(std::remove_if(retired_.begin(), retired_.end(), gone), retired_.end());
  if (handle != nullptr) retired_.push_back({handle, now});
}

std::vector<ModelCatalogue::Retired> ModelCatalogue::RetiredHandles() const {
  absl::MutexLock lock(&mu_);
  std::vector<Retired> held;
  for (const WeakRetired& retired : retired_) {
    ModelHandle model = retired.model.lock();
    if (model == nullptr) continue;
    ModelHandle successor = Successor(*model);
    held.push_back({std::move(model), retired.since, std::move(successor)});
  }
  return held;
}

}  // namespace gruserve

#include "core/runtime/model_repository.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/runtime/model_loader.h"

namespace gruserve {
namespace {

constexpr const char* kAllModels = "*";

absl::Status Stopped() { return absl::UnavailableError("the server is shutting down"); }

void LogLoaded(const ModelKey& key, const absl::StatusOr<ModelHandle>& loaded, bool serves) {
  if (!loaded.ok()) {
    Log(LogLevel::kError, serves ? "model not loaded anew, the old one serves" : "model failed",
        {{"model", key.first}, {"version", key.second}, {"reason", std::string(loaded.status().message())}});
    return;
  }
  const Network& network = (*loaded)->network();
  Log(LogLevel::kInfo, "model ready",
      {{"model", key.first},
       {"version", key.second},
       {"input_size", network.input_size()},
       {"output_size", network.output_size()},
       {"state_size", network.state_size()},
       {"gru_cells_per_step", network.cells_per_step()},
       {"compute_dtype", Name(network.compute_dtype())}});
}

}  // namespace

// What the repository's thread is to do, in order. Thread-safe.
struct ModelRepository::Requests {
  // Called with OK to run, or with why it does not.
  using Work = std::function<void(const absl::Status&)>;

  // Where the thread does not run, `work` is gone at once, without a call.
  bool Add(Work work) ABSL_LOCKS_EXCLUDED(mu) {
    const absl::MutexLock lock(&mu);
    if (open) queue.push_back(std::move(work));
    changed.Signal();
    return open;
  }

  absl::Mutex mu;
  absl::CondVar changed;  // For the thread.
  bool open ABSL_GUARDED_BY(mu) = false;
  std::deque<Work> queue ABSL_GUARDED_BY(mu);
  std::shared_ptr<Pending> pending ABSL_GUARDED_BY(mu);  // What is being read.
};

// A model on its way from one thread to the other.
struct ModelRepository::Pending {
  absl::Mutex mu;
  absl::CondVar changed;
  bool stopped ABSL_GUARDED_BY(mu) = false;
  std::optional<absl::StatusOr<ModelHandle>> result ABSL_GUARDED_BY(mu);
};

ModelRepository::ModelRepository(Options options)
    : options_(std::move(options)), requests_(std::make_shared<Requests>()) {}

ModelRepository::~ModelRepository() { Stop(); }

absl::Status ModelRepository::Load() {
  absl::StatusOr<std::map<std::string, ModelVersions>> found =
      ReadRepository(options_.root, /*log_ignored=*/true);
  GRUSERVE_RETURN_IF_ERROR(found.status());
  if (options_.mode == RepositoryMode::kExplicit) {
    const std::vector<std::string>& names = options_.load_models;
    const bool all = std::count(names.begin(), names.end(), kAllModels) > 0;
    for (const std::string& name : names) {
      if (name == kAllModels || found->count(name) > 0) continue;
      Log(LogLevel::kError, "model failed", {{"model", name}, {"reason", "it is not in the repository"}});
    }
    for (auto model = found->begin(); model != found->end();) {
      const bool chosen = all || std::count(names.begin(), names.end(), model->first) > 0;
      model = chosen ? std::next(model) : found->erase(model);
    }
  }
  GRUSERVE_RETURN_IF_ERROR(LoadAtStart(*found));
  if (options_.mode == RepositoryMode::kStatic) return absl::OkStatus();
  background_ = std::make_unique<BackgroundThread>();
  {
    const absl::MutexLock lock(&requests_->mu);
    requests_->open = true;
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

absl::Status ModelRepository::LoadAtStart(const std::map<std::string, ModelVersions>& found) {
  for (const auto& [name, model] : found) {
    for (const auto& [version, folder] : model.versions) seen_[{name, version}] = folder.stamp;
    std::set<int64_t> present;
    for (const auto& [version, folder] : model.versions) present.insert(version);
    const VersionPolicy policy =
        model.rules.ok() ? model.rules->policy.value_or(options_.version_policy) : options_.version_policy;
    for (const int64_t version : policy.Choose(present)) catalogue_.Expect({name, version});
  }
  // What fails is listed.
  for (const auto& [name, model] : found) Reconcile(name, model).IgnoreError();
  return absl::OkStatus();
}

absl::Status ModelRepository::Reconcile(const std::string& name, const ModelVersions& found) {
  std::set<int64_t> present;
  for (const auto& [version, folder] : found.versions) present.insert(version);
  if (!found.rules.ok()) {
    for (const int64_t version : present) Publish({name, version}, found.rules.status());
    return absl::FailedPreconditionError(
        absl::StrCat("model \"", name, "\" stays as it is: ", std::string(found.rules.status().message())));
  }
  const std::set<int64_t> wanted = found.rules->policy.value_or(options_.version_policy).Choose(present);
  catalogue_.SetCarriesSessions(name, found.rules->carry_sessions);
  absl::Status first;
  for (auto version = wanted.rbegin(); version != wanted.rend(); ++version) {
    first.Update(LoadVersion({name, *version}, found.versions.at(*version)));
  }
  RemoveUnwanted(name, wanted);
  catalogue_.SetLabels(name, found.rules->labels);
  return first;
}

absl::Status ModelRepository::LoadVersion(const ModelKey& key, const VersionFolder& folder) {
  const bool serves = catalogue_.HandleOf(key) != nullptr;
  const auto known = stamps_.find(key);
  const bool polls = options_.mode == RepositoryMode::kPoll;
  const bool unchanged = known != stamps_.end() && known->second == folder.stamp;
  if (unchanged && (serves || polls)) return absl::OkStatus();
  if (polls && known != stamps_.end() && known->second == StampOfTooLarge(folder)) return absl::OkStatus();
  // A folder that somebody writes to is left alone until it holds still.
  if (polls && seen_[key] != folder.stamp) return absl::OkStatus();
  catalogue_.Expect(key);
  absl::StatusOr<ModelHandle> loaded = Read(key, folder);
  if (loaded.ok()) {
    const absl::Status fits = CheckMemory((*loaded)->weight_bytes());
    if (!fits.ok()) loaded = fits;
  }
  absl::Status status = loaded.status();
  if (status.code() == absl::StatusCode::kUnavailable) return status;
  stamps_[key] = absl::IsResourceExhausted(status) ? StampOfTooLarge(folder) : folder.stamp;
  Publish(key, std::move(loaded));
  if (status.ok()) return status;
  const std::string message = absl::StrCat("model \"", key.first, "\" version ", key.second,
                                           " failed to load: ", std::string(status.message()),
                                           serves ? "; what it was before goes on serving" : "");
  return absl::IsResourceExhausted(status) ? absl::ResourceExhaustedError(message)
                                           : absl::FailedPreconditionError(message);
}

// Once memory comes free, it is another one.
std::string ModelRepository::StampOfTooLarge(const VersionFolder& folder) const {
  return absl::StrCat(folder.stamp, " too large beside ", MemoryBytes());
}

absl::StatusOr<ModelHandle> ModelRepository::Read(const ModelKey& key, const VersionFolder& folder) {
  GRUSERVE_RETURN_IF_ERROR(CheckMemory(folder.file_bytes));
  const absl::Time begun = absl::Now();
  auto read = [path = folder.path, key, workers = options_.num_workers, dtype = options_.compute_dtype,
               like = Predecessor(key)]() {
    return gruserve::LoadModel(path, key.first, key.second, workers, dtype, like.get());
  };
  absl::StatusOr<ModelHandle> loaded = background_ == nullptr ? read() : ReadInBackground(std::move(read));
  load_microseconds_ += absl::ToInt64Microseconds(absl::Now() - begun);
  if (!loaded.ok()) return loaded;
  return Tended(*std::move(loaded));
}

absl::StatusOr<ModelHandle> ModelRepository::ReadInBackground(
    std::function<absl::StatusOr<ModelHandle>()> read) {
  const auto pending = std::make_shared<Pending>();
  {
    const absl::MutexLock lock(&requests_->mu);
    if (!requests_->open) return Stopped();
    requests_->pending = pending;
  }
  background_->Post([pending, read = std::move(read)] {
    absl::StatusOr<ModelHandle> result = read();
    const absl::MutexLock lock(&pending->mu);
    pending->result = std::move(result);
    pending->changed.Signal();
  });
  const absl::MutexLock lock(&pending->mu);
  while (!pending->stopped && !pending->result.has_value()) pending->changed.Wait(&pending->mu);
  if (!pending->result.has_value()) return Stopped();
  return *std::move(pending->result);
}

ModelHandle ModelRepository::Predecessor(const ModelKey& key) const {
  if (ModelHandle same = catalogue_.HandleOf(key)) return same;
  return catalogue_.Find(key.first, 0).value_or(nullptr);
}

ModelHandle ModelRepository::Tended(ModelHandle model) const {
  const LoadedModel* const loaded = model.get();
  // A function that is never called frees it with itself, on the thread that drops it.
  return ModelHandle(loaded, [requests = requests_, model = std::move(model)](const LoadedModel*) mutable {
    requests->Add([last = std::move(model)](const absl::Status&) {});
  });
}

int64_t ModelRepository::MemoryBytes() const {
  int64_t bytes = 0;
  for (const ModelHandle& model : catalogue_.Serving()) bytes += model->weight_bytes();
  for (const auto& retired : catalogue_.RetiredHandles()) bytes += retired.model->weight_bytes();
  return bytes;
}

absl::Status ModelRepository::CheckMemory(int64_t bytes) const {
  const int64_t used = MemoryBytes();
  if (options_.memory_bytes == 0 || bytes <= options_.memory_bytes - used) return absl::OkStatus();
  int64_t held = 0;
  for (const auto& retired : catalogue_.RetiredHandles()) held += retired.model->weight_bytes();
  return absl::ResourceExhaustedError(
      absl::StrCat("its weights take ", bytes, " bytes; ", std::max<int64_t>(options_.memory_bytes - used, 0),
                   " of the ", options_.memory_bytes, " bytes of the model memory budget are left, ", held,
                   " are of old versions that sessions hold"));
}

void ModelRepository::Publish(const ModelKey& key, absl::StatusOr<ModelHandle> loaded) {
  if (!loaded.ok() && catalogue_.ReasonOf(key) == std::string(loaded.status().message())) return;
  LogLoaded(key, loaded, catalogue_.HandleOf(key) != nullptr);
  ++(loaded.ok() ? loaded_ : failed_);
  catalogue_.Publish(key, std::move(loaded), options_.clock->Now());
  if (options_.observe) options_.observe(key.first);
}

void ModelRepository::Remove(const ModelKey& key) {
  stamps_.erase(key);
  if (!catalogue_.Remove(key, options_.clock->Now())) return;
  ++unloaded_;
  Log(LogLevel::kInfo, "model unloaded", {{"model", key.first}, {"version", key.second}});
  if (options_.observe) options_.observe(key.first);
}

void ModelRepository::RemoveUnwanted(const std::string& name, const std::set<int64_t>& wanted) {
  int64_t lacking = static_cast<int64_t>(wanted.size());
  for (const int64_t version : wanted) lacking -= catalogue_.HandleOf({name, version}) != nullptr ? 1 : 0;
  std::vector<ModelStatus> listed = catalogue_.List(name);
  // From the highest on: those stand in for what is not there.
  for (auto status = listed.rbegin(); status != listed.rend(); ++status) {
    if (wanted.count(status->version) > 0) continue;
    if (status->state == ModelState::kReady && lacking-- > 0) continue;
    Remove({name, status->version});
  }
}

absl::StatusOr<std::vector<ModelStatus>> ModelRepository::LoadNow(const std::string& name, int64_t version) {
  GRUSERVE_ASSIGN_OR_RETURN(const ModelVersions found, ReadModelVersions(options_.root, name));
  if (version == 0) {
    if (found.versions.empty() && found.rules.ok()) {
      return absl::NotFoundError(absl::StrCat("model \"", name, "\" has no version in the repository"));
    }
    GRUSERVE_RETURN_IF_ERROR(Reconcile(name, found));
    return catalogue_.List(name);
  }
  const auto folder = found.versions.find(version);
  if (folder == found.versions.end()) {
    return absl::NotFoundError(
        absl::StrCat("model \"", name, "\" version ", version, " is not in the repository"));
  }
  GRUSERVE_RETURN_IF_ERROR(LoadVersion({name, version}, folder->second));
  if (found.rules.ok()) catalogue_.SetLabels(name, found.rules->labels);
  return catalogue_.List(name);
}

absl::StatusOr<std::vector<ModelStatus>> ModelRepository::UnloadNow(const std::string& name,
                                                                    int64_t version) {
  bool found = false;
  for (const ModelStatus& status : catalogue_.List(name)) {
    if (version != 0 && status.version != version) continue;
    found = true;
    Remove({name, status.version});
  }
  if (found) return catalogue_.List(name);
  return absl::NotFoundError(absl::StrCat(
      "model \"", name, "\"", version == 0 ? "" : absl::StrCat(" version ", version), " is not loaded"));
}

absl::Status ModelRepository::PollNow() {
  GRUSERVE_ASSIGN_OR_RETURN(auto found, ReadRepository(options_.root, /*log_ignored=*/false));
  for (const ModelStatus& status : catalogue_.List())
    found.try_emplace(status.name, ModelVersions{VersionRules(), {}});
  for (const auto& [name, model] : found) Reconcile(name, model).IgnoreError();
  seen_.clear();
  for (const auto& [name, model] : found) {
    for (const auto& [version, folder] : model.versions) seen_[{name, version}] = folder.stamp;
  }
  return absl::OkStatus();
}

absl::Status ModelRepository::CheckExplicit(const char* what) const {
  if (options_.mode == RepositoryMode::kExplicit) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the server's repository mode is ", options_.mode == RepositoryMode::kPoll ? "poll" : "static", ", ",
      what, " wants one that runs with --repository-mode explicit"));
}

void ModelRepository::Request(Done done, std::function<absl::StatusOr<std::vector<ModelStatus>>()> work) {
  const auto shared = std::make_shared<const Done>(std::move(done));
  const bool added = requests_->Add([shared, work = std::move(work)](const absl::Status& stopped) {
    if (!stopped.ok()) return (*shared)(stopped);
    (*shared)(work());
  });
  if (!added) (*shared)(Stopped());
}

void ModelRepository::LoadModel(const std::string& name, int64_t version, Done done) {
  const absl::Status allowed = CheckExplicit("LoadModel");
  if (!allowed.ok()) return done(allowed);
  Request(std::move(done), [this, name, version] { return LoadNow(name, version); });
}

void ModelRepository::UnloadModel(const std::string& name, int64_t version, Done done) {
  const absl::Status allowed = CheckExplicit("UnloadModel");
  if (!allowed.ok()) return done(allowed);
  Request(std::move(done), [this, name, version] { return UnloadNow(name, version); });
}

void ModelRepository::Poll(Done done) {
  Request(std::move(done), [this]() -> absl::StatusOr<std::vector<ModelStatus>> {
    GRUSERVE_RETURN_IF_ERROR(PollNow());
    return catalogue_.List();
  });
}

void ModelRepository::Run() {
  const bool polls = options_.mode == RepositoryMode::kPoll;
  Requests& requests = *requests_;
  absl::Time due = polls ? absl::Now() + options_.poll_interval : absl::InfiniteFuture();
  while (true) {
    Requests::Work work;
    {
      const absl::MutexLock lock(&requests.mu);
      bool in_time = true;
      while (requests.open && requests.queue.empty() && in_time)
        in_time = !requests.changed.WaitWithDeadline(&requests.mu, due);
      if (!requests.open) return;
      if (!requests.queue.empty()) {
        work = std::move(requests.queue.front());
        requests.queue.pop_front();
      }
    }
    if (work) {
      work(absl::OkStatus());
      continue;
    }
    const absl::Status status = PollNow();
    if (!status.ok()) {
      Log(LogLevel::kWarning, "repository not read, all stays", {{"reason", std::string(status.message())}});
    }
    due = absl::Now() + options_.poll_interval;
  }
}

void ModelRepository::Stop() {
  std::deque<Requests::Work> left;
  {
    const absl::MutexLock lock(&requests_->mu);
    requests_->open = false;
    requests_->changed.Signal();
    left.swap(requests_->queue);
    if (requests_->pending != nullptr) {
      const absl::MutexLock pending_lock(&requests_->pending->mu);
      requests_->pending->stopped = true;
      requests_->pending->changed.Signal();
    }
  }
  for (const Requests::Work& work : left) work(Stopped());
  if (thread_.joinable()) thread_.join();
}

ModelRepository::Counters ModelRepository::counters() const {
  return {.loaded = loaded_,
          .failed = failed_,
          .unloaded = unloaded_,
          .load_time = absl::Microseconds(load_microseconds_.load()),
          .memory_bytes = MemoryBytes(),
          .retired = static_cast<int64_t>(catalogue_.RetiredHandles().size())};
}

}  // namespace gruserve

// The model versions that a server knows of, as callers find them: what each is, and
// the handle of those that serve.
//
// A version that is loaded anew goes on serving what it was until the new one is put
// in its place, at once, and also where loading fails. What is replaced or taken out
// is retired: gone for callers, kept by those who hold it. Thread-safe; no lock is held
// for longer than a look at a map.

#ifndef GRUSERVE_CORE_RUNTIME_MODEL_CATALOGUE_H_
#define GRUSERVE_CORE_RUNTIME_MODEL_CATALOGUE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/compute_dtype.h"
#include "core/runtime/loaded_model.h"

namespace gruserve {

// Legal transitions: kLoading -> kReady, kLoading -> kFailed, kFailed -> kReady.
enum class ModelState { kLoading, kReady, kFailed };

struct ModelStatus {
  std::string name;
  int64_t version = 0;
  ModelState state = ModelState::kLoading;
  std::string reason;  // Why it failed, or why a READY one could not be loaded anew.
  std::optional<ComputeDtype> compute_dtype = {};  // Of a READY one.
  std::vector<std::string> labels = {};            // That name it.
};

using ModelKey = std::pair<std::string, int64_t>;

class ModelCatalogue {
 public:
  // A handle that callers find no more.
  struct Retired {
    ModelHandle model;
    absl::Time since;
    // What its sessions go on with: the highest READY version, where they are to be carried
    // over and it can go on from them; else null.
    ModelHandle successor = nullptr;
  };

  // Every version, by name and version; of `name` only where it is not empty.
  std::vector<ModelStatus> List(const std::string& name = "") const ABSL_LOCKS_EXCLUDED(mu_);

  // `version` 0 is the highest READY one. NotFound: no such model or version;
  // FailedPrecondition: it failed, with the reason; Unavailable: still loading.
  absl::StatusOr<ModelHandle> Find(const std::string& name, int64_t version) const ABSL_LOCKS_EXCLUDED(mu_);
  // The version that `label` names. NotFound: no such model or label.
  absl::StatusOr<ModelHandle> FindLabel(const std::string& name, const std::string& label) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // For the repository that owns it.

  // Lists `key` as loading, unless it is listed already.
  void Expect(const ModelKey& key) ABSL_LOCKS_EXCLUDED(mu_);
  // Puts `loaded` in the place of what `key` was; where it is an error, notes it.
  void Publish(const ModelKey& key, absl::StatusOr<ModelHandle> loaded, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Takes `key` out. Answers whether it was there.
  bool Remove(const ModelKey& key, absl::Time now) ABSL_LOCKS_EXCLUDED(mu_);
  // Lets labels name READY versions; one whose version is not keeps what it named.
  void SetLabels(const std::string& name, const std::map<std::string, int64_t>& labels)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Whether sessions of the model's retired versions are to be carried over.
  void SetCarriesSessions(const std::string& name, bool carries) ABSL_LOCKS_EXCLUDED(mu_);
  bool CarriesSessions(const std::string& name) const ABSL_LOCKS_EXCLUDED(mu_);
  // The handle that `key` has; null where it does not serve.
  ModelHandle HandleOf(const ModelKey& key) const ABSL_LOCKS_EXCLUDED(mu_);
  // The reason that is listed of `key`; empty where there is none.
  std::string ReasonOf(const ModelKey& key) const ABSL_LOCKS_EXCLUDED(mu_);
  // The handles that serve.
  std::vector<ModelHandle> Serving() const ABSL_LOCKS_EXCLUDED(mu_);
  // Retired ones that somebody holds.
  std::vector<Retired> RetiredHandles() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ModelStatus status;
    ModelHandle handle;  // Null unless READY.
  };
  struct WeakRetired {
    std::weak_ptr<const LoadedModel> model;
    absl::Time since;
  };
  using Labels = std::map<std::string, int64_t>;

  static absl::StatusOr<ModelHandle> HandleOr(const Entry& entry);
  absl::StatusOr<ModelHandle> FindVersion(const std::string& name, int64_t version) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status NotFound(const std::string& name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Notes that `handle`, which may be null, is retired.
  void Retire(const ModelHandle& handle, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ModelHandle Successor(const LoadedModel& retired) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool Ready(const ModelKey& key) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  std::map<ModelKey, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Labels> labels_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> carried_ ABSL_GUARDED_BY(mu_);  // Models whose sessions are carried over.
  std::vector<WeakRetired> retired_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_MODEL_CATALOGUE_H_

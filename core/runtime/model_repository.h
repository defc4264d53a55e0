// Every version of every model below one folder: `<root>/<model>/<version>/`.
//
// Loads all of them once, at Load; a version that fails is listed with its
// reason and disturbs no other. Thread-safe.

#ifndef GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_
#define GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/compute_dtype.h"
#include "core/runtime/loaded_model.h"

namespace gruserve {

// Legal transitions: kLoading -> kReady, kLoading -> kFailed.
enum class ModelState { kLoading, kReady, kFailed };

struct ModelStatus {
  std::string name;
  int64_t version = 0;
  ModelState state = ModelState::kLoading;
  std::string reason;                         // Why it failed; empty otherwise.
  std::optional<ComputeDtype> compute_dtype;  // Of a READY one.
};

class ModelRepository {
 public:
  // Makes `num_workers` replicas of each model. One whose model.json says no
  // compute_dtype computes in `compute_dtype`.
  ModelRepository(std::filesystem::path root, int num_workers,
                  ComputeDtype compute_dtype = ComputeDtype::kF32);

  // Finds and loads every version; returns once each is READY or FAILED. Other
  // threads may list and find meanwhile. NotFound where the root is no folder.
  // Names must match ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$ and versions be a
  // decimal >= 1 without leading zeros; other entries are logged and ignored.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mu_);

  // Every version, by name and version.
  std::vector<ModelStatus> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // `version` 0 is the highest READY one. NotFound: no such model or version;
  // FailedPrecondition: it failed, with the reason; Unavailable: still loading.
  absl::StatusOr<ModelHandle> Find(const std::string& name, int64_t version) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ModelStatus status;
    ModelHandle handle;  // Null unless READY.
  };

  void Publish(const std::pair<std::string, int64_t>& key, absl::StatusOr<ModelHandle> loaded)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const std::filesystem::path root_;
  const int num_workers_;
  const ComputeDtype compute_dtype_;

  mutable absl::Mutex mu_;
  std::map<std::pair<std::string, int64_t>, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_

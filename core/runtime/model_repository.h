// Every version of every model below one folder, `<root>/<model>/<version>/`: loaded at
// start, and while serving as the mode says. A version that fails is listed with its
// reason and disturbs no other.
//
// Thread-safe. After the start, models are read and prepared on a thread of the lowest
// priority; a second, ordinary one decides, publishes and answers, so that nobody waits
// for a lock that the first one holds. What nobody holds any more is freed there too.

#ifndef GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_
#define GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/engine/compute_dtype.h"
#include "core/runtime/background_thread.h"
#include "core/runtime/model_catalogue.h"
#include "core/runtime/repository_folder.h"
#include "core/runtime/version_rules.h"

namespace gruserve {

// kStatic: what is there at start. kPoll: what is there, looked up again and again.
// kExplicit: what LoadModel and UnloadModel say.
enum class RepositoryMode { kStatic, kPoll, kExplicit };

class ModelRepository {
 public:
  struct Options {
    std::filesystem::path root;
    int num_workers = 1;                              // Replicas of each model.
    ComputeDtype compute_dtype = ComputeDtype::kF32;  // Where model.json says none.
    RepositoryMode mode = RepositoryMode::kStatic;
    absl::Duration poll_interval = absl::Seconds(15);
    std::vector<std::string> load_models = {};  // kExplicit: what Load loads; "*" is all.
    VersionPolicy version_policy = {};          // Where versions.json says none.
    int64_t memory_bytes = 0;                   // For weights; 0: no limit.
    // Told after each change of a model's versions, by name, with no lock held.
    std::function<void(const std::string& name)> observe = nullptr;
    Clock* clock = Clock::Real();
  };
  // `memory_bytes` and `retired` are of now, the others since the start.
  struct Counters {
    int64_t loaded = 0;
    int64_t failed = 0;
    int64_t unloaded = 0;
    absl::Duration load_time;
    int64_t memory_bytes = 0;  // Weights of what serves, and of what is retired and held.
    int64_t retired = 0;       // Versions that serve no new call, and that sessions hold.
  };
  using Done = std::function<void(absl::StatusOr<std::vector<ModelStatus>>)>;

  explicit ModelRepository(Options options);
  // As Stop.
  ~ModelRepository();

  // Loads what the mode says, on the calling thread; returns once each version is READY
  // or FAILED. Other threads may list and find meanwhile. NotFound where the root is no
  // folder. REQUIRES: called once, before all that follows but List and Find.
  absl::Status Load();

  // Loads what the model's policy chooses of its folder, or just `version` where that is
  // not 0; what is loaded and unchanged stays. Then `done` gets the model's versions, or
  //   NotFound            there is no such model or version
  //   FailedPrecondition  the mode is another, or a version failed; the old one goes on
  //   ResourceExhausted   it does not fit in memory_bytes; the old one goes on
  //   Unavailable         the repository stops
  // `done` runs on the repository's thread, or at once; it must be short.
  void LoadModel(const std::string& name, int64_t version, Done done);
  // Takes the model's versions, or just `version`, out. What holds them goes on.
  // NotFound where there is none.
  void UnloadModel(const std::string& name, int64_t version, Done done);
  // Looks at the folder now, as polling does. For kPoll.
  void Poll(Done done);

  // No change any more; requests that wait are refused, and so is what runs. Handles
  // stay good.
  void Stop();

  // See ModelCatalogue.
  std::vector<ModelStatus> List() const { return catalogue_.List(); }
  absl::StatusOr<ModelHandle> Find(const std::string& name, int64_t version) const {
    return catalogue_.Find(name, version);
  }
  absl::StatusOr<ModelHandle> FindLabel(const std::string& name, const std::string& label) const {
    return catalogue_.FindLabel(name, label);
  }
  bool CarriesSessions(const std::string& name) const { return catalogue_.CarriesSessions(name); }
  std::vector<ModelCatalogue::Retired> RetiredHandles() const { return catalogue_.RetiredHandles(); }

  Counters counters() const;

 private:
  struct Requests;
  struct Pending;

  // On the thread that loads or decides, one at a time.
  absl::Status LoadAtStart(const std::map<std::string, ModelVersions>& found);
  absl::StatusOr<std::vector<ModelStatus>> LoadNow(const std::string& name, int64_t version);
  absl::StatusOr<std::vector<ModelStatus>> UnloadNow(const std::string& name, int64_t version);
  absl::Status PollNow();
  // Brings the model to what its folder and its policy say.
  absl::Status Reconcile(const std::string& name, const ModelVersions& found);
  absl::Status LoadVersion(const ModelKey& key, const VersionFolder& folder);
  absl::StatusOr<ModelHandle> Read(const ModelKey& key, const VersionFolder& folder);
  absl::StatusOr<ModelHandle> ReadInBackground(std::function<absl::StatusOr<ModelHandle>()> read);
  std::string StampOfTooLarge(const VersionFolder& folder) const;
  // Whether `bytes` more fit in memory_bytes.
  absl::Status CheckMemory(int64_t bytes) const;
  int64_t MemoryBytes() const;
  void Publish(const ModelKey& key, absl::StatusOr<ModelHandle> loaded);
  void Remove(const ModelKey& key);
  // Takes out what the policy does not choose, but for as many as `wanted` lacks.
  void RemoveUnwanted(const std::string& name, const std::set<int64_t>& wanted);
  // The loaded version that the next one of `key` is most like; may be null.
  ModelHandle Predecessor(const ModelKey& key) const;
  // As `model`, freed on the repository's thread.
  ModelHandle Tended(ModelHandle model) const;
  absl::Status CheckExplicit(const char* what) const;
  void Request(Done done, std::function<absl::StatusOr<std::vector<ModelStatus>>()> work);
  void Run();

  // Constant after construction.
  const Options options_;
  const std::shared_ptr<Requests> requests_;  // Outlives this for the handles' sake.

  ModelCatalogue catalogue_;  // Itself thread-safe.
  std::atomic<int64_t> loaded_ = 0;
  std::atomic<int64_t> failed_ = 0;
  std::atomic<int64_t> unloaded_ = 0;
  std::atomic<int64_t> load_microseconds_ = 0;

  // Of the thread that loads or decides.
  std::map<ModelKey, std::string> stamps_;  // Of what was loaded, or failed.
  std::map<ModelKey, std::string> seen_;    // At the last poll.

  std::unique_ptr<BackgroundThread> background_;  // From the end of Load on.
  std::thread thread_;                            // Last: it uses all of the above.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_MODEL_REPOSITORY_H_

// Opens sessions: those that only live in memory at once, durable ones once their
// record in the store is acquired, with what it holds.
//
// Thread-safe. `done` runs on the calling thread, or on the writer's; it must be short.

#ifndef GRUSERVE_CORE_DURABILITY_SESSION_OPENER_H_
#define GRUSERVE_CORE_DURABILITY_SESSION_OPENER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/durability/store_writer.h"
#include "core/runtime/loaded_model.h"
#include "core/session/session_table.h"

namespace gruserve {

class SessionOpener {
 public:
  struct Options {
    Durability default_durability = Durability::kAsync;  // With a store; without one NONE.
    int64_t max_undurable = 4096;                        // Steps; 0: no limit.
    // Refuses what other kernels computed so far, instead of going on with other bits.
    bool require_bit_exact = false;
    // Whether stored sessions of a model go on on its highest version where theirs is not
    // here; null: of none. Thread-safe.
    std::function<bool(const std::string& name)> carries_sessions = nullptr;
  };
  using OpenDone = std::function<void(absl::StatusOr<std::shared_ptr<Session>>)>;

  // The model that a stored session names; thread-safe.
  using FindModel = std::function<absl::StatusOr<ModelHandle>(const std::string& name, int64_t version)>;

  // `writer` may be null: there is no store. REQUIRES: all outlive it, and its opens.
  SessionOpener(Options options, SessionTable* table, FindModel find_model, StoreWriter* writer)
      : options_(std::move(options)), table_(table), find_model_(std::move(find_model)), writer_(writer) {}

  // As SessionTable::Open, for stored sessions too, and for new ones that go on from
  // `options.start`:
  //   AlreadyExists      CREATE of an id that the store has
  //   FailedPrecondition durability without a store; the stored session's model is not
  //                      here, or has other weights; other kernels, where bits must be equal
  //   DataLoss           no checkpoint of the stored session can be read
  //   Unavailable        the store does not answer
  // Resuming a durable session acquires its record anew: a server that lost it
  // meanwhile learns so here, and goes on from what is stored.
  void Open(OpenSessionOptions options, OpenDone done);

  // Whether a session may be opened with `durability`; absent: the default.
  absl::Status CheckDurability(std::optional<Durability> durability) const;

 private:
  // An open on its way through the store. On the writer's thread from here on.
  struct Opening {
    OpenSessionOptions options;
    OpenDone done;
    std::string owner;
    Durability mode = Durability::kAsync;  // Of one that is created.
  };

  // CREATE of what only lives in memory: its id must not be stored either.
  void OpenUnstored(OpenSessionOptions options, OpenDone done);
  void OpenStored(OpenSessionOptions options, const std::shared_ptr<Session>& live, OpenDone done);
  void OnAcquired(Opening opening, Acquired acquired);
  void OnAbsent(Opening opening, const std::shared_ptr<Session>& live);
  // Opens what was acquired under `claim`, with the terms of `opening.options`.
  void OpenAcquired(Opening opening, const StoreClaim& claim, bool created);
  // Goes on in `live`, whose record this server had all the time.
  void ResumeLive(Opening opening, Session& live, const StoreClaim& claim);
  // Turns the options into those to make the session of `checkpoint` with.
  absl::Status Restore(Checkpoint checkpoint, OpenSessionOptions* options) const;
  // The model that `stored` goes on with.
  absl::StatusOr<ModelHandle> FindModelOf(const Checkpoint& stored) const;
  // The session `id`, where it is live.
  std::shared_ptr<Session> FindLive(const std::string& id) const;

  // Constant after construction.
  const Options options_;
  SessionTable* const table_;
  const FindModel find_model_;
  StoreWriter* const writer_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_DURABILITY_SESSION_OPENER_H_

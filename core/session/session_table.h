// Owns every session of this server: mints ids, admits by memory, attaches
// sessions to streams, and ends those that are idle or orphaned for too long.
//
// Thread-safe. No method blocks on compute; no sink is called while a lock is
// held. A session pins its model, and may outlive the table. Lock order: the
// table's, then a session's; no session calls the table with its own lock held.

#ifndef GRUSERVE_CORE_SESSION_SESSION_TABLE_H_
#define GRUSERVE_CORE_SESSION_SESSION_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/session/session.h"

namespace gruserve {

class SessionRoster;

enum class OpenMode { kCreate, kResume, kCreateOrResume };

constexpr int64_t kMostRememberedSteps = 64;
constexpr int64_t kMostKeptStates = 64;

// What a session whose record is acquired is opened with.
struct DurableTerms {
  Durability mode = Durability::kAsync;
  StoreClaim claim;
  int64_t max_undurable = 0;
};

struct OpenSessionOptions {
  std::string id;  // Empty: minted.
  OpenMode mode = OpenMode::kCreate;
  ModelHandle model;               // Required to create; null: whichever it has.
  int64_t batch_size = 0;          // 0: unbatched; n: rows.
  std::vector<float> h_0;          // [layers, rows, H]; empty: zeros.
  bool any_version = false;        // A resumed session may have another version of `model`.
  bool close_with_stream = false;  // From this open on.
  bool take_over = false;
  // Not to be had later: a resumed session keeps what it was opened with.
  std::optional<RealTimeContract> real_time;
  // Responses that a new session keeps, in places of its log, 0 to kMostRememberedSteps.
  // 0 for a resumed one, or what it was opened with.
  int64_t remember_steps = 0;
  // Operations after which a new session keeps its state, 0 to kMostKeptStates; likewise.
  int64_t keep_states = 0;
  // What of it outlives the server; absent: the server's default, or what it was opened with.
  std::optional<Durability> durability;
  // From SessionOpener: the terms where a store stands behind it.
  std::optional<DurableTerms> durable;
  // Where a session that is new here goes on from: with CREATE a copy of another, as
  // AdoptCheckpoint gives it, whose model, batch and number of remembered steps are also
  // those above. `bit_exact` as Session::Options has it.
  std::shared_ptr<const Checkpoint> start;
  bool bit_exact = true;
  // Whose steps a new session's are; null: nobody's in particular. Outlives it.
  Tenant* tenant = nullptr;
  // Whose session it will be; a null sink leaves it detached.
  SessionAttachment attachment;
};

// Whether a new session can be made of `options`: its model steps, h_0 fits.
absl::Status CheckCreate(const OpenSessionOptions& options);

class SessionTable {
 public:
  struct Options {
    int64_t memory_bytes = int64_t{1} << 30;     // Open beyond it: ResourceExhausted.
    absl::Duration idle_ttl = absl::Minutes(5);  // Infinite: never.
    absl::Duration grace = absl::Seconds(60);    // After its stream ended.
    int64_t max_inflight = 64;                   // Operations of a session, waiting or running.
    absl::Duration remember_evicted = absl::Minutes(10);
    int64_t max_remembered = 100'000;
    int num_workers = 1;              // Of the executor.
    double real_time_share = 0.5;     // Of their time, for real-time contracts; below 1.
    SessionKeeper* keeper = nullptr;  // Outlives the table and all its sessions.
  };
  // `live`, `attached`, `memory_bytes` and `real_time_...` are of now, the others since the start.
  struct Counters {
    int64_t live = 0;
    int64_t attached = 0;
    int64_t memory_bytes = 0;
    int64_t opened = 0;
    int64_t resumed = 0;
    int64_t closed = 0;  // By a client.
    int64_t evicted_idle = 0;
    int64_t evicted_grace = 0;
    int64_t evicted_on_demand = 0;
    int64_t fenced = 0;   // Resumed by another server.
    int64_t retired = 0;  // Their model version was.
    int64_t carried = 0;  // Over to another model version.
    int64_t refused_budget = 0;
    int64_t late_steps = 0;          // Of sessions with a real-time contract.
    int64_t real_time_promised = 0;  // Nanoseconds of compute a second.
    int64_t real_time_limit = 0;     // The most that may be.
  };

  // REQUIRES: `executor` and `clock` outlive the table and all its sessions.
  SessionTable(Options options, Executor* executor, Clock* clock);
  ~SessionTable();

  // Opens or resumes a session, as DESIGN.md of the protocol says:
  //   InvalidArgument    an id that may not be chosen; a model, batch or h_0
  //                      that contradicts the session's
  //   AlreadyExists      CREATE of a live id
  //   NotFound           RESUME of an unknown id; says so where it was evicted
  //   FailedPrecondition RESUME of a session that another client's stream holds,
  //                      without take_over; a model that cannot step
  //   ResourceExhausted  the memory budget; a real-time contract that would not be kept
  //   Unavailable        after StopOpening
  // A resume raises the epoch; the stream that held it gets OnDetached(ABORTED),
  // and what it had queued is fenced. What ran then may still move `next_step`:
  // Session::ReadState tells it exactly, in turn with later operations. Opening
  // and resuming count as activity.
  absl::StatusOr<std::shared_ptr<Session>> Open(OpenSessionOptions options);

  // Whether Open would refuse `options`, as far as can be told beforehand; changes
  // nothing. Answers the live session of that id, or null.
  absl::StatusOr<std::shared_ptr<Session>> CheckOpen(const OpenSessionOptions& options);
  // Why there is no session `id`. REQUIRES: there is none.
  absl::Status NotFound(const std::string& id);

  // NotFound, with the reason where it was evicted lately.
  absl::StatusOr<std::shared_ptr<Session>> Find(const std::string& id);

  // As Find, for an operation from outside of any stream: FailedPrecondition
  // where a stream holds the session.
  absl::StatusOr<std::shared_ptr<Session>> FindDetached(const std::string& id);

  // Up to `limit` sessions whose ids come after `after`, by id; of `model` only
  // where it is not empty.
  std::vector<SessionDescription> List(const std::string& after, int64_t limit, const std::string& model);

  // Drops a session that nothing waits for, as if it had been idle for too long. NotFound;
  // FailedPrecondition while operations wait or run, or have yet to become durable.
  absl::StatusOr<SessionDescription> Evict(const std::string& id);

  // The stream behind `sink` ended: its sessions close after what is queued, or
  // stay for the grace period, counted from now or from their last operation.
  void DetachAll(const SessionSink* sink);

  // Ends what is due now; answers when to call again: nothing that happens until
  // then falls due before. The caller owns the timer.
  absl::Time Expire();

  // Ends all sessions of `model`, after what each has queued, with a NotFound that says
  // that they may stay on a retired version for `limit` only.
  void EndSessionsOf(const LoadedModel& model, absl::Duration limit);

  // Lets all sessions of `from` go on with `to`, as Session::Carry.
  void CarrySessions(const LoadedModel& from, const ModelHandle& to);

  // Refuses new sessions from now on.
  void StopOpening();

  Counters counters() const;

 private:
  absl::StatusOr<std::shared_ptr<Session>> Create(const OpenSessionOptions& options);
  std::vector<std::shared_ptr<Session>> SessionsOf(const LoadedModel& model);
  // Null where no contract is asked for.
  absl::StatusOr<std::unique_ptr<RealTimeTerms>> Promise(const OpenSessionOptions& options);

  // Constant after construction.
  const Options options_;
  // Itself thread-safe. Sessions refer to it weakly.
  const std::shared_ptr<SessionRoster> roster_;
  const std::shared_ptr<SessionSurroundings> surroundings_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_TABLE_H_

// Owns every session of this server: mints ids, admits by memory, attaches
// sessions to streams, and ends those that are idle or orphaned for too long.
//
// Thread-safe. No method blocks on compute; no sink is called while a lock is
// held. A session pins its model.

#ifndef GRUSERVE_CORE_SESSION_SESSION_TABLE_H_
#define GRUSERVE_CORE_SESSION_SESSION_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/session/session.h"

namespace gruserve {

enum class OpenMode { kCreate, kResume, kCreateOrResume };

struct OpenSessionOptions {
  std::string id;                  // Empty: minted.
  OpenMode mode = OpenMode::kCreate;
  ModelHandle model;               // Required to create; null: whichever it has.
  int64_t batch_size = 0;          // 0: unbatched; n: rows.
  std::vector<float> h_0;          // [layers, rows, H]; empty: zeros.
  bool close_with_stream = false;
  bool take_over = false;
  // Whose session it will be; a null sink leaves it detached.
  SessionAttachment attachment;
};

class SessionTable {
 public:
  struct Options {
    int64_t memory_bytes = int64_t{1} << 30;      // Open beyond it: ResourceExhausted.
    absl::Duration idle_ttl = absl::Minutes(5);   // Infinite: never.
    absl::Duration grace = absl::Seconds(60);     // After its stream ended.
    int64_t max_inflight = 64;                    // Operations of a session, waiting or running.
    absl::Duration remember_evicted = absl::Minutes(10);
    int64_t max_remembered = 100'000;
  };
  // Counters since start, by cause.
  struct Counters {
    int64_t live = 0;
    int64_t attached = 0;
    int64_t memory_bytes = 0;
    int64_t opened = 0;
    int64_t resumed = 0;
    int64_t closed = 0;         // By a client.
    int64_t evicted_idle = 0;
    int64_t evicted_grace = 0;
    int64_t refused_budget = 0;
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
  //   ResourceExhausted  the memory budget
  //   Unavailable        after StopOpening
  // A resume raises the epoch; the stream that held it gets OnDetached(ABORTED).
  absl::StatusOr<std::shared_ptr<Session>> Open(OpenSessionOptions options) ABSL_LOCKS_EXCLUDED(mu_);

  // NotFound, with the reason where it was evicted lately.
  absl::StatusOr<std::shared_ptr<Session>> Find(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);

  // As Find, for an operation from outside of any stream: FailedPrecondition
  // where a stream holds the session.
  absl::StatusOr<std::shared_ptr<Session>> FindDetached(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);

  // Up to `limit` sessions whose ids come after `after`, by id; of `model` only
  // where it is not empty.
  std::vector<SessionDescription> List(const std::string& after, int64_t limit, const std::string& model)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The stream behind `sink` ended: its sessions close, or stay for the grace
  // period.
  void DetachAll(const SessionSink* sink) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends what is due now; answers when to call again. The caller owns the timer.
  absl::Time Expire() ABSL_LOCKS_EXCLUDED(mu_);

  // Refuses new sessions from now on.
  void StopOpening() ABSL_LOCKS_EXCLUDED(mu_);

  Counters counters() const ABSL_LOCKS_EXCLUDED(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_TABLE_H_

// What a session needs only while operations of it wait or run. It is lent for
// that time, so that an idle session is small and a busy one allocates little.

#ifndef GRUSERVE_CORE_SESSION_SESSION_ACTIVITY_H_
#define GRUSERVE_CORE_SESSION_SESSION_ACTIVITY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/runtime/executor.h"
#include "core/session/session_op.h"
#include "core/session/session_state.h"

namespace gruserve {

class Session;

// One place in a session's queue: an operation, or what looks at it between two.
struct QueuedOp {
  SessionOp op;
  std::shared_ptr<SessionSink> sink;
  std::function<void(bool alive)> between;
  uint64_t epoch = 0;      // Under which it was submitted.
  bool in_flight = false;  // Counts against max_inflight.
  int64_t places = 0;      // Of the log, that are new if all before it succeeds.
};

struct SessionActivity {
  // A step under way.
  class Step : public StepTask {
   public:
    void OnStepDone(const absl::Status& status) override;
    SessionActivity* activity = nullptr;
  };
  // A chunk under way.
  class Chunk : public SequenceTask {
   public:
    void OnSequenceDone(const absl::Status& status) override;
    SessionActivity* activity = nullptr;
  };

  // Guarded by the session's lock.
  std::deque<QueuedOp> queue;

  // The pump's own.
  QueuedOp current;
  SessionOpResult result;
  bool allowed = false;                     // Whether `current` may run.
  absl::Time due = absl::InfiniteFuture();  // By the session's contract.
  std::shared_ptr<Session> keeper;          // Keeps the session while the executor has it.
  std::vector<StepRow> step_rows;
  std::optional<SessionState> draft;  // What a chunk runs on, so that it happens wholly or not at all.
  Step step;
  Chunk chunk;
};

// Activities that nobody uses at the moment. Thread-safe.
class ActivityShelf {
 public:
  std::unique_ptr<SessionActivity> Take() ABSL_LOCKS_EXCLUDED(mu_);
  // REQUIRES: nothing of it is in use.
  void Put(std::unique_ptr<SessionActivity> activity) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Several batches' worth; beyond it they are made and freed.
  static constexpr size_t kMostSpare = 512;

  absl::Mutex mu_;
  std::vector<std::unique_ptr<SessionActivity>> spare_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_ACTIVITY_H_

// One server-held conversation: a pinned model, a hidden state, and the log of
// operations that moved it.
//
// Thread-safe. At most one operation runs at a time; the others wait in order.
// Ownership is the lock: whoever set `busy_` (the pump) alone touches the state
// and what runs, and it alone delivers results, so they come in order. No lock
// is held over compute or while a sink is called.

#ifndef GRUSERVE_CORE_SESSION_SESSION_H_
#define GRUSERVE_CORE_SESSION_SESSION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/runtime/loaded_model.h"
#include "core/session/session_op.h"
#include "core/session/session_state.h"
#include "core/session/step_ledger.h"

namespace gruserve {

// A session described at one moment.
struct SessionDescription {
  std::string id;
  std::string model_name;
  int64_t model_version = 0;
  int64_t batch_size = 0;  // 0: unbatched.
  uint64_t epoch = 0;
  int64_t next_step = 1;
  int64_t durable_step = 0;
  int64_t max_inflight = 0;
  bool attached = false;
  int64_t memory_bytes = 0;
  absl::Duration idle;
};

// A session's hold by one stream.
struct SessionAttachment {
  std::shared_ptr<SessionSink> sink;
  uint32_t handle = 0;          // The session's number on that stream.
  std::string client_instance;  // As its open said; may be empty.
};

class Session;

// What a session tells the table that owns it. Called with no lock held.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // A kClose whose result goes to `closer` ended it; its state is freed.
  virtual void OnClosed(Session& session, const SessionSink* closer) = 0;
  // `sink` sent far more than its credits: the session must be taken from it.
  virtual void OnOverrun(Session& session, const SessionSink* sink) = 0;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // Refused operations that may wait for their turn, for each one that is allowed
  // in flight. Beyond that the stream loses the session (see SessionSink).
  static constexpr int64_t kRefusedPerCredit = 16;

  struct Options {
    std::string id;
    ModelHandle model;
    int64_t batch_size = 0;
    int64_t max_inflight = 64;
    const SessionSink* holder = nullptr;
  };
  using ReadDone = std::function<void(SessionDescription, std::vector<float>)>;

  // With a state of `h_0` [layers, rows, H], zeros where empty. SessionTable makes
  // sessions. REQUIRES: `executor` and `clock` outlive the session.
  Session(Options options, const std::vector<float>& h_0, std::weak_ptr<SessionOwner> owner,
          Executor* executor, Clock* clock);

  // Bytes that a session of `model` with `rows` batch rows is charged for.
  static int64_t MemoryBytes(const LoadedModel& model, int64_t rows);

  // Constant for the session's life.
  const std::string& id() const { return options_.id; }
  const ModelHandle& model() const { return options_.model; }
  // 0: unbatched; n: rows.
  int64_t batch_size() const { return options_.batch_size; }
  // Batch rows: 1 where unbatched.
  int64_t rows() const { return options_.batch_size == 0 ? 1 : options_.batch_size; }
  int64_t memory_bytes() const { return MemoryBytes(*options_.model, rows()); }

  // Queues `op`; its result goes to `sink` (null: nowhere), in order. Never fails:
  // a refusal (credits, barrier, closed) is a result as well. An operation of a
  // sink that lost the session, or that never had it, is refused with ABORTED,
  // kFenced, and moves nothing.
  void Submit(SessionOp op, std::shared_ptr<SessionSink> sink) ABSL_LOCKS_EXCLUDED(mu_);

  // Calls `done` between two operations, in turn with those submitted, with the
  // description and the hidden state [layers, rows, H] (empty where the session
  // ended before).
  void ReadState(ReadDone done) ABSL_LOCKS_EXCLUDED(mu_);

  // At once: an operation that runs now is not in `next_step` yet.
  SessionDescription Describe() const ABSL_LOCKS_EXCLUDED(mu_);

  // For the table. The first two may be called under its lock.

  // Gives the session to `holder` (null: to nobody) under the next epoch, which
  // fences what was queued before. NotFound where it ended or is closing.
  absl::StatusOr<uint64_t> Attach(const SessionSink* holder) ABSL_LOCKS_EXCLUDED(mu_);
  // Leaves it to nobody; what is queued runs on.
  void Detach() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends it if nothing has happened since `latest`: then `why` answers what comes
  // later, and the caller calls FreeState. Answers whether it did, and since when
  // it is idle (now, where it is not).
  struct IdleVerdict {
    bool ended = false;
    absl::Time idle_since;
  };
  IdleVerdict EndIfIdleSince(absl::Time latest, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  void FreeState() { state_.Free(); }

 private:
  // One place in the queue: an operation, or a read.
  struct Queued {
    SessionOp op;
    std::shared_ptr<SessionSink> sink;
    ReadDone read;
    uint64_t epoch = 0;      // Under which it was submitted; 0: never runs.
    bool in_flight = false;  // Counts against max_inflight.
    bool over_credit = false;
  };
  class StepRun : public StepTask {
   public:
    explicit StepRun(Session* session) : session_(session) {}
    void OnStepDone(const absl::Status& status) override { session_->FinishStep(status); }

   private:
    Session* const session_;
  };
  class ChunkRun : public SequenceTask {
   public:
    explicit ChunkRun(Session* session) : session_(session) {}
    void OnSequenceDone(const absl::Status& status) override { session_->FinishChunk(status); }

   private:
    Session* const session_;
  };

  // Queues; answers whether the caller has become the pump.
  bool Enqueue(Queued queued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Admit(Queued* queued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Answers at once what the queue has no place for, after the stream lost the session.
  void RefuseOverrun(Queued queued) ABSL_LOCKS_EXCLUDED(mu_);
  SessionDescription DescribeLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The pump's own. REQUIRES: the caller is the pump.
  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  bool TakeNext() ABSL_LOCKS_EXCLUDED(mu_);
  void Judge() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Start() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CheckValues() const;
  absl::Status StartStep();
  absl::Status StartChunk();
  void FinishStep(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishChunk(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void SetStateNow();
  void CloseNow() ABSL_LOCKS_EXCLUDED(mu_);
  void Complete() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  const std::weak_ptr<SessionOwner> owner_;
  Executor* const executor_;
  Clock* const clock_;

  // The pump's.
  SessionState state_;
  Queued current_;
  SessionOpResult result_;
  bool allowed_ = false;           // Whether `current_` may run.
  std::shared_ptr<Session> self_;  // Keeps the session while the executor has it.
  std::vector<StepRow> step_rows_;
  StepRun step_run_{this};
  ChunkRun chunk_run_{this};

  mutable absl::Mutex mu_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
  bool busy_ ABSL_GUARDED_BY(mu_) = false;  // A pump is at work.
  StepLedger ledger_ ABSL_GUARDED_BY(mu_);
  int64_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t over_credit_ ABSL_GUARDED_BY(mu_) = 0;  // Refused ones that still wait.
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 1;
  const SessionSink* holder_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status ended_ ABSL_GUARDED_BY(mu_);  // OK while it lives, then why it does not.
  SessionErrorReason ended_reason_ ABSL_GUARDED_BY(mu_) = SessionErrorReason::kNone;
  absl::Time last_done_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_H_

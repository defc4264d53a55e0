// One server-held conversation: a model, a hidden state, and the log of operations that
// moved it. The model is pinned, unless Carry gives the session to another version.
//
// Thread-safe. At most one operation runs at a time; the others wait in order.
// Ownership is the lock: whoever lent the session its activity (the pump) alone
// touches the state and what runs, and it alone delivers results, so they come in
// order. No lock is held over compute or while a sink is called.

#ifndef GRUSERVE_CORE_SESSION_SESSION_H_
#define GRUSERVE_CORE_SESSION_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
#include "core/session/compact_session_id.h"
#include "core/session/kept_states.h"
#include "core/session/real_time_budget.h"
#include "core/session/real_time_contract.h"
#include "core/session/remembered_steps.h"
#include "core/session/session_activity.h"
#include "core/session/session_durability.h"
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
  Durability durability = Durability::kNone;
  int64_t durable_step = 0;
  int64_t max_undurable = 0;  // 0: no limit.
  uint64_t input_digest = 0;  // Of all before `next_step`; 0 without a store.
  bool bit_exact = true;      // Its bits go on as they were before a restart.
  int64_t max_inflight = 0;
  int64_t queued = 0;  // Operations that wait or run.
  bool attached = false;
  int64_t remember_steps = 0;
  int64_t keep_states = 0;
  int64_t memory_bytes = 0;
  absl::Duration age;           // On this server.
  absl::Duration idle;          // Since its last operation was done.
  absl::Duration last_latency;  // Of that, from its arrival on.
  std::optional<RealTimeContract> real_time;
  int64_t late_steps = 0;  // Answered after they were due.
};

// What a client process calls itself; null where it says nothing. Shared by the
// sessions of a stream, of which there may be many.
using ClientInstance = std::shared_ptr<const std::string>;

// A session's hold by one stream.
struct SessionAttachment {
  std::shared_ptr<SessionSink> sink;
  ClientInstance client_instance;
  uint64_t handle = 0;  // The session's number on that stream.
};

class Session;

// What a session tells the table that owns it. Called with no lock held.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // A kClose whose result goes to `closer` ended it; its state is freed.
  virtual void OnClosed(Session& session, const SessionSink* closer) = 0;
  // Another server has it, under `epoch`; it ended.
  virtual void OnLost(Session& session, uint64_t epoch, SessionErrorReason reason) = 0;
  // It ended since its model version is retired; its state is freed.
  virtual void OnRetired(Session& session, const absl::Status& why) = 0;
  // It has gone over to another version of its model.
  virtual void OnCarried() = 0;
};

// What all sessions of a table have in common. Constant, but for the shelf and the
// budget, which are thread-safe.
struct SessionSurroundings {
  SessionSurroundings(int num_workers, double real_time_share) : real_time(num_workers, real_time_share) {}

  std::weak_ptr<SessionOwner> owner;
  SessionKeeper* keeper = nullptr;  // Null where there is no store.
  Executor* executor = nullptr;
  Clock* clock = nullptr;
  int64_t max_inflight = 64;  // Operations of a session, waiting or running.
  ActivityShelf shelf;
  RealTimeBudget real_time;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  struct Options {
    std::string id;
    ModelHandle model;
    int64_t batch_size = 0;
    const SessionSink* holder = nullptr;
    // Null: no contract.
    std::unique_ptr<RealTimeTerms> real_time;
    Tenant* tenant = nullptr;
    bool close_with_stream = false;
    int64_t remember_steps = 0;  // Places of the log whose responses are kept.
    int64_t keep_states = 0;     // Operations after which the state is kept.
    // What it goes on from was computed by the kernels and weights that go on.
    bool bit_exact = true;
    // Null: nothing outlives the server.
    std::unique_ptr<SessionDurability> durability;
    // Where it goes on from; null: from the beginning. Outlives the constructor.
    // REQUIRES: of this model's shapes and this batch.
    const Checkpoint* start = nullptr;
  };
  using ReadDone = std::function<void(SessionDescription, std::vector<float>)>;

  // With a state of `h_0` [layers, rows, H], zeros or the start's where empty.
  // SessionTable makes sessions. REQUIRES: executor and clock outlive the session.
  Session(Options options, const std::vector<float>& h_0, std::shared_ptr<SessionSurroundings> surroundings);

  // Bytes that a session of `model` with `rows` batch rows, which keeps
  // `remember_steps` responses and `keep_states` states, is charged for; the largest number
  // where that is more than there can be, as for more rows than an int32_t counts.
  static int64_t MemoryBytes(const LoadedModel& model, int64_t rows, int64_t remember_steps = 0,
                             int64_t keep_states = 0);

  // Constant for the session's life.
  std::string id() const { return id_.str(); }
  const CompactSessionId& compact_id() const { return id_; }
  // 0: unbatched; n: rows.
  int64_t batch_size() const { return batch_size_; }
  // Batch rows: 1 where unbatched.
  int64_t rows() const { return batch_size_ == 0 ? 1 : batch_size_; }
  int64_t remember_steps() const { return remember_steps_; }
  int64_t keep_states() const { return kept_ == nullptr ? 0 : kept_->most(); }
  // Whether a store stands behind it.
  bool durable() const { return durability_ != nullptr; }

  // Of now: Carry may put another version in its place, of the same name and shapes.
  ModelHandle model() const ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    return model_;
  }
  int64_t memory_bytes() const ABSL_LOCKS_EXCLUDED(mu_) {
    return MemoryBytes(*model(), rows(), remember_steps_, keep_states());
  }
  uint64_t epoch() const ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    return epoch_;
  }

  // Queues `op`; its result goes to `sink` (null: nowhere), in order. Never fails:
  // a refusal (barrier, closed) is a result as well. What never enters the queue is
  // answered at once, ahead of what waits there, and moves nothing:
  //   ABORTED, kFenced or kMoved    the sink lost the session, or never had it
  //   RESOURCE_EXHAUSTED, kCredits  max_inflight operations wait or run already
  //   RESOURCE_EXHAUSTED, kCredits  too many are ahead of what is durable
  //   FAILED_PRECONDITION, kBarrier an un-indexed step after such a refusal
  // `expected_step` is then the next index if all that waits succeeds.
  void Submit(SessionOp op, std::shared_ptr<SessionSink> sink) ABSL_LOCKS_EXCLUDED(mu_);

  // Calls `done` between two operations, in turn with those submitted, with the
  // description and the hidden state [layers, rows, H] (empty where the session
  // ended before).
  void ReadState(ReadDone done) ABSL_LOCKS_EXCLUDED(mu_);

  // The same of all that it takes to go on elsewhere; nothing where the session ended.
  using CopyDone = std::function<void(SessionDescription, std::optional<Checkpoint>)>;
  void Copy(CopyDone done) ABSL_LOCKS_EXCLUDED(mu_);

  // For the keeper: a copy for the session's record. It is told from now on where the
  // session moves again.
  using CheckpointDone = std::function<void(std::optional<Checkpoint>)>;
  void TakeCheckpoint(CheckpointDone done) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends it after what is queued, since its model version is retired: `why` answers what
  // comes later. What is stored of it stays.
  void Retire(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);

  // Lets it go on with the weights of `to` after what is queued, state and log as they are.
  // Nothing happens where it has them, or where they cannot go on from its own.
  void Carry(ModelHandle to) ABSL_LOCKS_EXCLUDED(mu_);

  // At once: an operation that runs now is not in `next_step` yet.
  SessionDescription Describe() const ABSL_LOCKS_EXCLUDED(mu_);

  // For the keeper. REQUIRES: the session has durability.

  // The record it may write.
  struct Claim {
    StoreClaim claim;
    bool recreate = false;
    bool ended = false;  // It needs no record any more.
  };
  Claim claim() const ABSL_LOCKS_EXCLUDED(mu_);
  // The record was acquired anew, with nobody in between.
  void OnReacquired(const StoreClaim& claim) ABSL_LOCKS_EXCLUDED(mu_);
  // All up to `step` is; gives the results that waited for it.
  void OnDurable(int64_t step) ABSL_LOCKS_EXCLUDED(mu_);
  // The record is missing: the next checkpoint makes it anew.
  void OnRecordMissing() ABSL_LOCKS_EXCLUDED(mu_);
  // Another owner has the record, under `epoch`: the session ends, and with it what
  // waits. `owner` tells whether the same client is behind it.
  void OnRecordLost(uint64_t epoch, const std::string& owner) ABSL_LOCKS_EXCLUDED(mu_);

  // For the table. The first two may be called under its lock.

  // Gives the session to `holder` (null: to nobody) under the next epoch, or that of
  // its claim where that is later, which fences what was queued before. `same_client`
  // says whether it is that of the holder before. NotFound where it ended or is closing.
  absl::StatusOr<uint64_t> Attach(const SessionSink* holder, bool close_with_stream, bool same_client)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Leaves it to nobody; what is queued runs on. Answers whether it is to close with
  // its holder.
  bool Detach() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends it if nothing has happened since `latest` and nothing has yet to become
  // durable: then `why` answers what comes later, and the caller calls FreeState.
  // Answers whether it did, and since when it is idle (now, where it is not).
  struct IdleVerdict {
    bool ended = false;
    absl::Time idle_since;
  };
  IdleVerdict EndIfIdleSince(absl::Time latest, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  void FreeState() { state_.Free(); }

 private:
  friend struct SessionActivity;

  // When a refused client may try again.
  static constexpr int64_t kRetryAfterMs = 10;

  // Whether `op` enters the queue; if not, `refusal` is its result.
  bool Admit(const SessionOp& op, const SessionSink* sink, SessionOpResult* refusal)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Fenced() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  SessionErrorReason FencedReason() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return same_client_ ? SessionErrorReason::kMoved : SessionErrorReason::kFenced;
  }
  // Whether so much is not durable yet that `op` must wait.
  bool TooFarAhead(const SessionOp& op, int64_t expected_step) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Calls `look` between two operations, with whether the session lives.
  void Between(std::function<void(bool alive)> look) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives held results that may be given, in order.
  void DeliverHeld() ABSL_LOCKS_EXCLUDED(mu_);
  // Moves `queued` to the queue; answers the activity where the caller has become the pump.
  SessionActivity* Enqueue(QueuedOp& queued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // How long `op`, which is done now, took.
  void NoteLatency(const SessionOp& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Notes that something was done now.
  void Touch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    last_done_ns_ = absl::ToUnixNanos(surroundings_->clock->Now());
  }
  absl::Time last_done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return absl::FromUnixNanos(last_done_ns_);
  }
  SessionDescription DescribeLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The pump's. REQUIRES: the caller is the pump.
  void Pump(SessionActivity& activity) ABSL_LOCKS_EXCLUDED(mu_);
  bool TakeNext(SessionActivity& activity) ABSL_LOCKS_EXCLUDED(mu_);
  void Judge(SessionActivity& activity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Answers an operation that was applied before; false where it was not.
  bool Replay(SessionActivity& activity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Start(SessionActivity& activity) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CheckValues(const SessionOp& op) const;
  absl::Status StartStep(SessionActivity& activity);
  absl::Status StartChunk(SessionActivity& activity);
  void FinishStep(SessionActivity& activity, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishChunk(SessionActivity& activity, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void SetStateNow(SessionActivity& activity);
  void CloseNow(const SessionSink* closer) ABSL_LOCKS_EXCLUDED(mu_);
  void RetireNow(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  void CarryNow(ModelHandle to) ABSL_LOCKS_EXCLUDED(mu_);
  // Enters what ran into the log.
  void Apply(const SessionActivity& activity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Complete(SessionActivity& activity) ABSL_LOCKS_EXCLUDED(mu_);
  Checkpoint MakeCheckpoint() const ABSL_LOCKS_EXCLUDED(mu_);
  Checkpoint MakeRecord() ABSL_LOCKS_EXCLUDED(mu_);
  // What is to be done about a result, once the lock is free.
  enum class Follow { kGive, kGiveAndTell, kHold, kHoldAndWrite };
  // Enters `activity`'s result in the session's durability.
  Follow Note(SessionActivity& activity, bool applied) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // There may be millions of sessions. So what is smaller than a word lies in what others leave
  // of theirs (no_unique_address), and flags share a byte; SessionTest has the sum.

  // Constant after construction.
  [[no_unique_address]] const CompactSessionId id_;
  const uint8_t remember_steps_;
  const uint32_t opened_s_;                 // Since 1970.
  ModelHandle model_ ABSL_GUARDED_BY(mu_);  // The state's: the pump alone changes both.
  const int32_t batch_size_;
  int32_t places_ahead_ ABSL_GUARDED_BY(mu_) = 0;  // Of the log, that wait or run.
  Tenant* const tenant_;
  const std::shared_ptr<SessionSurroundings> surroundings_;

  // The pump's.
  [[no_unique_address]] SessionState state_;
  int32_t last_latency_us_ ABSL_GUARDED_BY(mu_) = 0;
  const std::unique_ptr<KeptStates> kept_;  // Null where none are.

  mutable absl::Mutex mu_;
  // Here while operations wait or run: then there is a pump.
  std::unique_ptr<SessionActivity> activity_ ABSL_GUARDED_BY(mu_);
  [[no_unique_address]] StepLedger ledger_ ABSL_GUARDED_BY(mu_);
  bool close_with_stream_ : 1 ABSL_GUARDED_BY(mu_);
  bool bit_exact_ : 1 ABSL_GUARDED_BY(mu_);
  bool same_client_ : 1 ABSL_GUARDED_BY(mu_) = false;  // Attached it last as before.
  bool closing_ : 1 ABSL_GUARDED_BY(mu_) = false;
  bool refusing_ : 1 ABSL_GUARDED_BY(mu_) = false;  // Un-indexed steps, since one had no credit.
  SessionErrorReason ended_reason_ ABSL_GUARDED_BY(mu_) = SessionErrorReason::kNone;
  int32_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<RememberedSteps> remembered_ ABSL_GUARDED_BY(mu_);  // From the first response on.
  std::unique_ptr<RealTimeTerms> real_time_ ABSL_GUARDED_BY(mu_);
  const std::unique_ptr<SessionDurability> durability_ ABSL_PT_GUARDED_BY(mu_);
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 1;
  const SessionSink* holder_ ABSL_GUARDED_BY(mu_);
  int64_t last_done_ns_ ABSL_GUARDED_BY(mu_);  // Since 1970: half an absl::Time.
  absl::Status ended_ ABSL_GUARDED_BY(mu_);    // OK while it lives, then why it does not.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_H_

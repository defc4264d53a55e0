// The one thread that speaks with the session store: it acquires records for sessions
// that open, writes checkpoints of those that moved, and keeps records alive.
//
// All that concerns one record happens in one order, so that a server never fences
// itself: what was to be written before an acquire is written before it. Writes are
// grouped: everything that became ready while one batch was on its way is the next.
// Sessions whose results wait are written at once, others every `flush_interval`, or
// less often while writing them takes more than a twentieth of the time.
//
// Thread-safe. No method blocks on the store but Flush. Callbacks run on the thread.

#ifndef GRUSERVE_CORE_DURABILITY_STORE_WRITER_H_
#define GRUSERVE_CORE_DURABILITY_STORE_WRITER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/session/session.h"
#include "core/session/session_durability.h"
#include "core/store/session_store.h"

namespace gruserve {

class StoreWriter : public SessionKeeper {
 public:
  struct Options {
    // Up to kMostStretch times as long where writing is slow.
    absl::Duration flush_interval = absl::Milliseconds(100);
    absl::Duration ttl = absl::Hours(1);  // Of a record that nobody renews.
    // From a write that failed to the next.
    absl::Duration retry_interval = absl::Milliseconds(100);
    // A store that had nothing to do for so long is asked whether it is there.
    absl::Duration probe_interval = absl::Seconds(2);
  };
  // `available` and `unsaved` are of now, the others since the start.
  struct Counters {
    bool available = true;  // Whether the store answered last.
    absl::Duration unavailable_for;
    int64_t unsaved = 0;  // Sessions that wait to be written.
    int64_t batches = 0;
    int64_t checkpoints = 0;
    int64_t checkpoint_bytes = 0;
    int64_t failures = 0;  // Checkpoints that must be written again.
    int64_t fenced = 0;
    int64_t acquired = 0;
    absl::Duration write_time;  // Of all batches.
  };
  using AcquireDone = std::function<void(Acquired)>;

  // REQUIRES: `store` and `clock` outlive it.
  StoreWriter(Options options, SessionStore* store, Clock* clock);
  // As Stop.
  ~StoreWriter() override;

  // Ends the thread; what is not written then never is: see Flush. Opens that wait are
  // answered kUnavailable. Sessions may still be told of; nothing comes of it.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // `done` gets the answer; kUnavailable where the writer ends before.
  void Acquire(AcquireRequest request, AcquireDone done) ABSL_LOCKS_EXCLUDED(mu_);
  // A record as it is, without acquiring it.
  void Get(std::string id, AcquireDone done) ABSL_LOCKS_EXCLUDED(mu_);
  // Renews the session's record for as long as it lives.
  void KeepAlive(const std::shared_ptr<Session>& session) ABSL_LOCKS_EXCLUDED(mu_);

  void OnMoved(std::shared_ptr<Session> session) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCheckpoint(std::shared_ptr<Session> session, Checkpoint checkpoint) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void OnClosed(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnEvicted(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);

  // Writes all that moved until now. False where `timeout` passed before.
  bool Flush(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Duration ttl() const { return options_.ttl; }
  Counters counters() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct AcquireJob {
    AcquireRequest request;
    AcquireDone done;
  };
  struct GetJob {
    std::string id;
    AcquireDone done;
  };
  struct DeleteJob {
    StoreClaim claim;
  };
  struct ReleaseJob {
    StoreClaim claim;
  };
  using Job = std::variant<AcquireJob, GetJob, DeleteJob, ReleaseJob>;
  // The newest checkpoint of each session.
  using Ready = absl::flat_hash_map<std::shared_ptr<Session>, Checkpoint>;
  struct Renewal {
    absl::Time due;
    std::weak_ptr<Session> session;
  };
  // What one turn of the thread has to do.
  struct Turn {
    std::vector<std::shared_ptr<Session>> moved;
    Ready ready;
    std::deque<Job> jobs;
    std::vector<std::shared_ptr<Session>> renewals;
    bool probe = false;
  };

  static constexpr size_t kLeastPruned = 1024;
  static constexpr int64_t kMostStretch = 4;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for something to do; false at the end.
  bool Take(Turn* turn) ABSL_LOCKS_EXCLUDED(mu_);
  bool SomethingToDo() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether checkpoints that nobody waits for are better written with those to come.
  bool Gathers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return asked_ > 0 && !urgent_ && clock_->Now() < gather_until_;
  }
  // From a move to the flush that writes it.
  absl::Duration FlushInterval() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // When there is something to do though nothing comes.
  absl::Time WakeAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void AskForCheckpoint(const std::shared_ptr<Session>& session) ABSL_LOCKS_EXCLUDED(mu_);
  void AddReady(const std::shared_ptr<Session>& session, Checkpoint checkpoint)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Adds one that failed, unless a newer one is there.
  void PutBack(const std::shared_ptr<Session>& session, Checkpoint checkpoint) ABSL_LOCKS_EXCLUDED(mu_);
  void Write(Ready ready) ABSL_LOCKS_EXCLUDED(mu_);
  void WriteSome(std::vector<std::pair<std::shared_ptr<Session>, Checkpoint>> batch) ABSL_LOCKS_EXCLUDED(mu_);
  void OnWritten(const std::shared_ptr<Session>& session, Checkpoint checkpoint, const StoreResult& result)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DoJobs(std::deque<Job> jobs) ABSL_LOCKS_EXCLUDED(mu_);
  void AcquireSome(std::vector<AcquireJob> jobs) ABSL_LOCKS_EXCLUDED(mu_);
  void Renew(const std::vector<std::shared_ptr<Session>>& sessions) ABSL_LOCKS_EXCLUDED(mu_);
  void Probe() ABSL_LOCKS_EXCLUDED(mu_);
  void NoteStore(bool available, const std::string& message) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Options options_;
  SessionStore* const store_;
  Clock* const clock_;

  mutable absl::Mutex mu_;
  absl::CondVar changed_;  // For the thread.
  absl::CondVar written_;  // For Flush.
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;  // A turn is under way.
  int flushes_ ABSL_GUARDED_BY(mu_) = 0;    // Callers of Flush.
  int64_t asked_ ABSL_GUARDED_BY(mu_) = 0;  // Checkpoints that sessions have yet to take.
  std::vector<std::shared_ptr<Session>> moved_ ABSL_GUARDED_BY(mu_);
  absl::Time flush_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();  // The moved ones.
  absl::Duration flush_cost_ ABSL_GUARDED_BY(mu_);  // Of writing since the last flush began.
  Ready ready_ ABSL_GUARDED_BY(mu_);
  bool urgent_ ABSL_GUARDED_BY(mu_) = false;  // Results wait for one of them.
  absl::Time gather_until_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  absl::Time write_after_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();  // After a failure.
  absl::Time probe_at_ ABSL_GUARDED_BY(mu_);
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::deque<Renewal> renewals_ ABSL_GUARDED_BY(mu_);  // By time.
  size_t prune_renewals_at_ ABSL_GUARDED_BY(mu_) = kLeastPruned;
  Counters counters_ ABSL_GUARDED_BY(mu_);
  absl::Time unavailable_since_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_DURABILITY_STORE_WRITER_H_

// The sequences of a compute pool: those that wait, and those begun, whose slices
// any number of workers run.
//
// The oldest comes first, of the tenant that has had least (Tenant::sequences): a free
// worker joins the oldest begun sequence that has a slice free, and begins another only
// where none has, or for a tenant that has had less. So those begun are hardly
// more than the workers, and hold their memory briefly. A sequence is cut for the
// workers that it finds without sequences of their own.
// What waits when a worker becomes free, of one model and few rows, it begins as one
// call (joined_calls.h): there is no timer.
//
// What a slow worker leaves goes to a fast one: where the last track of a shared
// sequence has several slices to go and other workers have become idle, their
// processors are less busy, and one of them takes over, once a sequence.
//
// A sequence of one track is shared by columns (column_slice.h), where that proves to
// help: a worker whose processor is busy comes too late. Then each slice is run by one
// worker for a while, which doubles with each trial that is in vain.
//
// Not thread-safe: its pool's lock guards it, except Run.

#ifndef GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/network/network_run.h"
#include "core/runtime/executor.h"
#include "core/runtime/fair_queue.h"
#include "core/runtime/tenant_shares.h"

namespace gruserve {

class SequenceQueue {
 public:
  // Asks on behalf of whichever worker.
  static constexpr int kAnyWorker = -2;

  // What one worker does before it looks for other work.
  struct Turn {
    SequenceTask* task = nullptr;
    NetworkRun* run = nullptr;  // Null: the task begins.
    NetworkSlice slice;         // Where it has begun. With columns, both may be gone.
    int64_t parallelism = 1;    // Where it begins.
    int worker = 0;
    absl::Time begun;
  };

  explicit SequenceQueue(int64_t num_workers) : num_workers_(num_workers) {}

  // Tasks waiting or begun.
  int64_t size() const { return waiting_.size() + tasks_begun_; }
  void Push(SequenceTask* task);
  // ResourceExhausted where no more than `most` tasks may wait or be begun and `task` would be
  // one too many, or one too many of its tenant's.
  absl::Status Admit(const SequenceTask& task, int64_t most) const;

  // Whether there is something to do for `worker`.
  bool HasTurn(int worker) const;
  // Whether a slice is free that `worker` leaves to another, who may have to be woken.
  bool LeavesToOthers(int worker) const;
  // REQUIRES: HasTurn(worker).
  Turn Take(int worker, absl::Time now);

  // The one task that waits where none has begun; else null.
  const SequenceTask* lone() const {
    return waiting_.size() == 1 && begun_.empty() ? waiting_.front() : nullptr;
  }
  // Takes it out. REQUIRES: lone() is one.
  SequenceTask* TakeLone();

  // Makes workers that only help with others' slices come back for other work.
  void SendHelpAway();

  // Does a turn, on the task's replica `replica_index`. Needs no lock. Nothing where
  // the other part of a slice of columns answers for it: then the turn is over. Its
  // last reference to the slice is dropped under the lock.
  static std::optional<absl::Status> Run(const Turn& turn, int replica_index);

  // Takes a turn back, with what Run said. Where that ends its task, the answer is the
  // task's status, and the task, with those that joined it, is the caller's: to Tell.
  std::optional<absl::Status> Finish(const Turn& turn, const absl::Status& status, absl::Time now,
                                     bool others_are_idle);

  // Runs a task that nobody queued, from begin to end. Needs no lock.
  static absl::Status RunAlone(const SequenceTask& task, int replica_index, absl::Time now);

  // Frees what `task` ran with, and tells it and those that joined it. Needs no lock.
  static void Tell(SequenceTask* task, const absl::Status& status);

 private:
  struct Begun {
    SequenceTask* task;
    NetworkRun* run = nullptr;  // Null until it is made.
    int last_worker = kNobody;
    int slow_worker = kNobody;  // Leaves the next slice to another.
    bool shared = false;        // More than one worker has run slices.
    bool handed_over = false;
  };
  static constexpr int kNobody = -1;

  int64_t VirtualTime(const SequenceTask& task) { return shares_.VirtualTime(shares_.Of(task)); }
  // A sequence with a slice for `worker`; null where there is none, or where a tenant that has
  // had less waits to begin.
  Begun* NextBegun(int worker);
  // Counts a worker's time for `task`, and those that joined it, against their tenants.
  void Charge(const SequenceTask& task, absl::Duration ran);
  // Takes the task whose turn it is, with others that fit to it.
  SequenceTask* JoinWaiting();
  absl::Status End(std::vector<Begun>::iterator begun, const absl::Status& status);
  NetworkSlice ClaimOf(NetworkRun* run, int worker, absl::Time now);
  void LearnFrom(const Turn& turn, absl::Time now);
  static bool Helpable(const Begun& begun) { return begun.run != nullptr && begun.run->helpable(); }
  static bool IsFor(const Begun& begun, int worker) {
    return begun.run != nullptr && begun.slow_worker != worker && begun.run->claimable();
  }

  // In time, not in slices, of which some take forty times as long as others: what disturbs
  // a trial comes and goes in its own time.
  static constexpr absl::Duration kShortestPause = absl::Milliseconds(4);
  static constexpr absl::Duration kLongestPause = absl::Milliseconds(128);

  const int64_t num_workers_;
  absl::Time columns_from_ = absl::InfinitePast();  // Slices that could be of columns are.
  absl::Duration pause_;                            // The last one; zero where a trial has succeeded since.
  TenantShares shares_{&Tenant::sequences};
  FairQueue<SequenceTask> waiting_{&shares_};
  std::vector<Begun> begun_;  // Oldest first.
  int64_t tasks_begun_ = 0;   // With those that joined one.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_

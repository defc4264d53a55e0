// The sequences of a compute pool: those that wait, and those begun, whose slices
// any number of workers run.
//
// The oldest comes first: a free worker joins the oldest begun sequence that has a
// slice free, and begins another only where none has. So those begun are hardly
// more than the workers, and hold their memory briefly. A sequence is cut for the
// workers that it finds without sequences of their own.
//
// Not thread-safe: its pool's lock guards it, except Run.

#ifndef GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/sequence_run.h"
#include "core/runtime/executor.h"

namespace gruserve {

class SequenceQueue {
 public:
  // What one worker does before it looks for other work.
  struct Turn {
    SequenceTask* task = nullptr;
    SequenceRun* run = nullptr;  // Null: the task begins.
    SequenceSlice slice;         // Where it has begun.
    int64_t parallelism = 1;     // Where it begins.
  };

  explicit SequenceQueue(int64_t num_workers) : num_workers_(num_workers) {}

  // Waiting or begun.
  int64_t size() const { return static_cast<int64_t>(waiting_.size() + begun_.size()); }
  void Push(SequenceTask* task) { waiting_.push_back(task); }

  bool HasTurn() const;
  // REQUIRES: HasTurn().
  Turn Take();

  // Does a turn, on `replica`. Needs no lock.
  static absl::Status Run(const Turn& turn, Replica& replica, absl::Time now);

  // Takes a turn back, with what Run said. Where that ends its task, the answer is
  // the task's status, and the task is the caller's: to free its run, and to tell it.
  std::optional<absl::Status> Finish(const Turn& turn, const absl::Status& status);

 private:
  struct Begun {
    SequenceTask* task;
    SequenceRun* run;  // Null until it is made.
  };

  const int64_t num_workers_;
  std::deque<SequenceTask*> waiting_;
  std::vector<Begun> begun_;  // Oldest first.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_SEQUENCE_QUEUE_H_

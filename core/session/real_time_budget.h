// The part of the compute time that is promised to sessions with a real-time
// contract, and the test that admits another one.
//
// A promise is the time that a row takes in the largest batch, times the rows, over
// the period or the deadline, whichever is shorter (its density, in Liu's words). Two
// things must hold. All densities together stay below a share of the workers; the
// rest is for steps and sequences without a contract, and for what is not compute.
// And the shortest deadline leaves time, beside that share, for what a step may have
// to wait for although it goes first: the batch or the slice of a sequence that runs
// as it comes, and its own batch. Steps that wait together run together, so a batch
// that is not full leaves nothing of its model waiting behind it: rows cost more than
// promised only in the last such batch, which is the one counted.
//
// It is a test of the arithmetic, with costs measured when the model was loaded; the
// network and a busy neighbour on the machine are not in it.
//
// Thread-safe.

#ifndef GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_
#define GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/runtime/step_costs.h"
#include "core/session/real_time_contract.h"

namespace gruserve {

class RealTimeBudget;

// A promise that a session holds; the budget has it back when this goes. Movable.
class RealTimePromise {
 public:
  RealTimePromise() = default;
  RealTimePromise(RealTimePromise&& other) noexcept { *this = std::move(other); }
  RealTimePromise& operator=(RealTimePromise&& other) noexcept;
  ~RealTimePromise();

  // It was broken for one step.
  void CountLate();

 private:
  friend class RealTimeBudget;

  RealTimeBudget* budget_ = nullptr;  // Null: nothing is promised.
  int64_t density_ = 0;               // Nanoseconds of compute a second.
  absl::Duration deadline_;
  absl::Duration batch_;  // The longest of its model.
};

class RealTimeBudget {
 public:
  // A slice of a sequence, at most (ADR 10: 1 to 2 ms).
  static constexpr absl::Duration kLongestSlice = absl::Milliseconds(2);

  // REQUIRES: num_workers >= 1, 0 <= share < 1; with a share of 0 nothing is promised.
  RealTimeBudget(int num_workers, double share);

  // Promises `contract` to a session of `rows` rows of a model with such costs. The
  // budget must outlive the promise.
  //   InvalidArgument    a period or deadline that is not positive
  //   ResourceExhausted  it would not be kept, or another one would not
  absl::StatusOr<RealTimePromise> Promise(const StepCosts& costs, int64_t rows,
                                          const RealTimeContract& contract) ABSL_LOCKS_EXCLUDED(mu_);

  // Nanoseconds of compute promised in a second.
  int64_t promised() const ABSL_LOCKS_EXCLUDED(mu_);
  // The most that may be.
  int64_t limit() const { return limit_; }
  // Steps that were late, of all sessions so far.
  int64_t late_steps() const { return late_steps_.load(std::memory_order_relaxed); }

 private:
  friend class RealTimePromise;

  absl::Status CheckDeadlines(const RealTimePromise& promise) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeBack(const RealTimePromise& promise) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const double share_;
  const int64_t limit_;

  std::atomic<int64_t> late_steps_ = 0;

  mutable absl::Mutex mu_;
  int64_t promised_ ABSL_GUARDED_BY(mu_) = 0;
  // How many promises have which.
  std::map<absl::Duration, int64_t> deadlines_ ABSL_GUARDED_BY(mu_);
  std::map<absl::Duration, int64_t> batches_ ABSL_GUARDED_BY(mu_);
};

// A session's contract, and what it rests on.
struct RealTimeTerms {
  RealTimeClock clock;
  RealTimePromise promise;

  void CountLate() {
    clock.CountLate();
    promise.CountLate();
  }
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_

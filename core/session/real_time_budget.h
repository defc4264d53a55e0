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
// Not thread-safe. Keeps no model alive.

#ifndef GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_
#define GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/runtime/step_costs.h"
#include "core/session/real_time_contract.h"

namespace gruserve {

class RealTimeBudget {
 public:
  // A slice of a sequence, at most (ADR 10: 1 to 2 ms).
  static constexpr absl::Duration kLongestSlice = absl::Milliseconds(2);

  // REQUIRES: num_workers >= 1, 0 <= share <= 1; with a share of 0 nothing is promised.
  RealTimeBudget(int num_workers, double share);

  // Promises `contract` to a session of `rows` rows of a model with such costs.
  //   InvalidArgument    a period or deadline that is not positive
  //   ResourceExhausted  it would not be kept, or another one would not
  absl::Status Admit(const StepCosts& costs, int64_t rows, const RealTimeContract& contract);
  // Takes back what Admit promised with the same arguments.
  void Release(const StepCosts& costs, int64_t rows, const RealTimeContract& contract);

  // Nanoseconds of compute promised in a second.
  int64_t promised() const { return promised_; }
  // The most that may be.
  int64_t limit() const { return limit_; }

 private:
  static int64_t Density(const StepCosts& costs, int64_t rows, const RealTimeContract& contract);

  const double share_;
  const int64_t limit_;
  int64_t promised_ = 0;
  // How many promises have which; sums would not come back to where they were.
  std::map<absl::Duration, int64_t> deadlines_;
  std::map<absl::Duration, int64_t> batches_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_REAL_TIME_BUDGET_H_

// Where the steps of a caller's round run, and short sequences: on the thread that brings
// them, at once or when it comes back, or on a worker.
//
// A lone step runs at once, which saves the hand-over; so do steps of so few sessions that
// they are done sooner where they come. Steps of more sessions that are still cheap together
// wait until their thread has dealt with the messages that it has at hand, and are one batch.
// A lone step too dear for that is shared by two workers where that is sooner.
//
// Not thread-safe: the pool's lock guards it.

#ifndef GRUSERVE_CORE_RUNTIME_STEP_PLACEMENT_H_
#define GRUSERVE_CORE_RUNTIME_STEP_PLACEMENT_H_

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "core/runtime/step_costs.h"

namespace gruserve {

enum class RunPlace {
  kCaller,      // The caller's thread, now.
  kCallerBack,  // The same when it comes back, if no worker has taken them.
  kWorker,
  kWorkers,  // Two of them together (SharedStep).
};

class StepPlacement {
 public:
  // What a round finds.
  struct Round {
    const StepCosts& costs;        // Of its first step's model.
    const float* state = nullptr;  // Of its first step: says which session it is.
    absl::Time time;
    int64_t rows = 0;             // Its own and those of what waits; 0: of several models.
    bool nothing_waited = false;  // Before it.
    bool may_run = false;         // There is a batch to take, and a slot to run it in.
    bool idle = false;            // Nothing runs, and nothing is due.
    bool shareable = false;       // Two workers do a row of this model sooner than one.
  };

  struct Limits {
    absl::Duration at_once;   // Of what runs on the caller's thread as it comes,
    absl::Duration gathered;  // and of a batch when it comes back: zero where it never does.
  };
  explicit StepPlacement(Limits limits) : limits_(limits) {}

  // Notes the round, too.
  RunPlace Choose(const Round& round);

  // The same for a sequence of `cost` that comes to an idle server. Of several that come
  // together a worker makes one call.
  RunPlace ChooseForSequence(absl::Duration cost) const;

  // Whether a batch of `cost` is for the caller that comes back. What costs more goes to a
  // worker: messages that come meanwhile wait.
  bool IsForCaller(absl::Duration cost) const { return cost <= limits_.gathered; }

 private:
  static constexpr int64_t kRounds = 16;

  struct Past {
    const float* state = nullptr;  // Of its first step.
    absl::Time time = absl::InfinitePast();
  };

  const Limits limits_;
  std::array<Past, kRounds> recent_;  // The rounds before this one, the last one at the end.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STEP_PLACEMENT_H_

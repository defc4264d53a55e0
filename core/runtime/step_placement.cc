#include "core/runtime/step_placement.h"

#include <algorithm>

#include "core/engine/bucket_set.h"

namespace gruserve {
namespace {

// With no other step for so long, beside the time of four steps, the server is idle.
constexpr absl::Duration kQuiet = absl::Microseconds(200);

// Sessions whose steps together cost no more than handing one over and its answer back:
// batches stay small, and each step is done sooner where it comes. So is such a sequence.
constexpr absl::Duration kHandOver = absl::Microseconds(50);

}  // namespace

RunPlace StepPlacement::ChooseForSequence(absl::Duration cost) const {
  if (cost > limits_.at_once) return RunPlace::kWorker;
  const bool comes_back = limits_.gathered > absl::ZeroDuration();
  return comes_back && cost > kHandOver ? RunPlace::kCallerBack : RunPlace::kCaller;
}

RunPlace StepPlacement::Choose(const Round& round) {
  const auto last = std::find_if(recent_.rbegin(), recent_.rend(),
                                 [&](const Past& past) { return past.state == round.state; });
  const int64_t between = last - recent_.rbegin();  // Rounds of others since its session's last one.
  const absl::Duration quiet = round.time - recent_.back().time;
  const absl::Duration span = round.time - recent_.front().time;
  std::shift_left(recent_.begin(), recent_.end(), 1);
  recent_.back() = {round.state, round.time};
  if (round.rows == 0 || !round.may_run) return RunPlace::kWorker;
  const bool one_batch = round.rows <= BucketSet::kMaxBatchSize;
  const absl::Duration cost = round.costs.Of(round.rows);
  if (one_batch && round.nothing_waited && cost <= limits_.at_once) {
    const bool few = between < kRounds && between * cost <= kHandOver;
    // The first of many that take turns comes after a quiet while, too: but then as many
    // rounds came before it as would have kept this thread busy.
    const bool idle = quiet >= 4 * cost + kQuiet && span >= 2 * kRounds * cost;
    if (few || idle) return RunPlace::kCaller;
  }
  if (!round.idle) return RunPlace::kWorker;
  const bool lone_session = between <= 1;
  if (lone_session && round.shareable && round.nothing_waited && round.rows == 1) return RunPlace::kWorkers;
  if (limits_.gathered == absl::ZeroDuration()) return RunPlace::kWorker;
  // What comes whole, as a message of many sessions: nothing is to be gathered.
  if (round.nothing_waited && round.rows >= round.costs.worthwhile_rows()) return RunPlace::kWorker;
  if (one_batch && IsForCaller(cost)) return RunPlace::kCallerBack;
  // For a worker, but not at once for a row where a batch is to be had.
  return !lone_session && round.rows < round.costs.worthwhile_rows() ? RunPlace::kCallerBack
                                                                     : RunPlace::kWorker;
}

}  // namespace gruserve

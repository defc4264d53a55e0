#include "core/runtime/step_costs.h"

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr int kRuns = 4;
constexpr int64_t kSequenceSteps = 32;
// A model whose step costs more is not one for short sequences.
constexpr absl::Duration kLongStep = absl::Microseconds(50);
// A row in a worthwhile batch costs at most so much of one in the largest; or the batch
// is half of the largest.
constexpr double kEfficient = 1.1;
// Several times what it takes to wake a sleeping thread.
constexpr absl::Duration kWorthWaking = absl::Microseconds(50);

// By this thread: what it waited for a processor, as a loading one does, counts for nothing.
absl::Duration ComputedSoFar() {
  timespec computed{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &computed);
  return absl::DurationFromTimespec(computed);
}

// Runs it, and takes note of what it cost where that is less than before.
template <typename Run>
absl::Status NoteFaster(Run run, absl::Duration* fastest) {
  const absl::Duration begin = ComputedSoFar();
  GRUSERVE_RETURN_IF_ERROR(run());
  *fastest = std::min(*fastest, ComputedSoFar() - begin);
  return absl::OkStatus();
}

// A step of it.
absl::StatusOr<absl::Duration> MeasureLoneSequence(NetworkReplica& replica) {
  const Network& network = replica.network();
  AlignedBuffer input(kSequenceSteps * network.input_size());
  AlignedBuffer output(kSequenceSteps * network.output_size());
  AlignedBuffer state(network.state_size());
  float* const states[] = {state.data()};
  const SequenceCall call{.time_steps = kSequenceSteps,
                          .batch_size = 1,
                          .input = input.data(),
                          .input_time_stride = network.input_size(),
                          .output = output.data(),
                          .output_time_stride = network.output_size(),
                          .states = states};
  absl::Duration fastest = absl::InfiniteDuration();
  for (int i = 0; i < kRuns; ++i) {
    GRUSERVE_RETURN_IF_ERROR(NoteFaster([&] { return replica.RunSequence(call); }, &fastest));
  }
  return fastest / kSequenceSteps;
}

}  // namespace

StepCosts::StepCosts(std::vector<Point> points)
    : points_(std::move(points)),
      lone_sequence_step_(points_.front().cost),
      row_in_largest_batch_(points_.back().cost / points_.back().rows),
      worthwhile_rows_(points_.back().rows) {
  for (const Point& point : points_) {
    const absl::Duration efficient = row_in_largest_batch_ * kEfficient * static_cast<double>(point.rows);
    const bool small = 2 * point.rows < points_.back().rows;
    if (point.cost < kWorthWaking || (small && point.cost > efficient)) continue;
    worthwhile_rows_ = point.rows;
    return;
  }
}

absl::StatusOr<StepCosts> StepCosts::Measure(NetworkReplica& replica) {
  const Network& network = replica.network();
  if (!network.steppable()) return StepCosts();
  const int64_t largest = replica.max_batch_size();
  const int64_t state_size = network.state_size();
  AlignedBuffer input(network.input_size());
  AlignedBuffer states(largest * state_size);
  std::vector<StepRow> rows;
  for (int64_t i = 0; i < largest; ++i)
    rows.push_back({input.data(), states.data() + i * state_size, nullptr});
  std::vector<Point> points;
  for (int64_t count = 1;; count = std::min(2 * count, largest)) {
    points.push_back({count, absl::InfiniteDuration()});
    if (count == largest) break;
  }
  // One after the other, and again: what disturbs for a while disturbs all of them.
  for (int i = 0; i < kRuns; ++i) {
    for (Point& point : points) {
      const std::span<const StepRow> batch(rows.data(), static_cast<size_t>(point.rows));
      GRUSERVE_RETURN_IF_ERROR(NoteFaster([&] { return replica.RunSteps(batch); }, &point.cost));
    }
  }
  StepCosts costs(std::move(points));
  if (costs.Of(1) <= kLongStep) {
    GRUSERVE_ASSIGN_OR_RETURN(costs.lone_sequence_step_, MeasureLoneSequence(replica));
  }
  return costs;
}

absl::Duration StepCosts::Of(int64_t rows) const {
  for (const Point& point : points_) {
    if (rows <= point.rows) return point.cost;
  }
  if (points_.empty()) return absl::InfiniteDuration();
  return points_.back().cost * (static_cast<double>(rows) / static_cast<double>(points_.back().rows));
}

}  // namespace gruserve

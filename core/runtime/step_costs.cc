#include "core/runtime/step_costs.h"

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr int kRuns = 4;
// A row in a worthwhile batch costs at most so much of one in the largest.
constexpr double kEfficient = 1.25;
// Several times what it takes to wake a sleeping thread.
constexpr absl::Duration kWorthWaking = absl::Microseconds(100);

// By this thread: what it waited for a processor, as a loading one does, counts for nothing.
absl::Duration ComputedSoFar() {
  timespec computed{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &computed);
  return absl::DurationFromTimespec(computed);
}

}  // namespace

StepCosts::StepCosts(std::vector<Point> points)
    : points_(std::move(points)),
      row_in_largest_batch_(points_.back().cost / points_.back().rows),
      worthwhile_rows_(points_.back().rows) {
  for (const Point& point : points_) {
    const absl::Duration efficient = row_in_largest_batch_ * kEfficient * static_cast<double>(point.rows);
    if (point.cost < kWorthWaking || point.cost > efficient) continue;
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
    absl::Duration fastest = absl::InfiniteDuration();
    for (int run = 0; run < kRuns; ++run) {
      const absl::Duration begin = ComputedSoFar();
      GRUSERVE_RETURN_IF_ERROR(replica.RunSteps({rows.data(), static_cast<size_t>(count)}));
      fastest = std::min(fastest, ComputedSoFar() - begin);
    }
    points.push_back({count, fastest});
    if (count == largest) return StepCosts(std::move(points));
  }
}

absl::Duration StepCosts::Of(int64_t rows) const {
  for (const Point& point : points_) {
    if (rows <= point.rows) return point.cost;
  }
  if (points_.empty()) return absl::InfiniteDuration();
  return points_.back().cost * (static_cast<double>(rows) / static_cast<double>(points_.back().rows));
}

}  // namespace gruserve

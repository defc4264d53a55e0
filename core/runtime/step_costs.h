// What a batch of steps of one model costs, and a short sequence, measured when it is
// loaded: how many rows make a batch worth a worker of its own, and whether a few rows
// may run where they arrive.
//
// Plain values.

#ifndef GRUSERVE_CORE_RUNTIME_STEP_COSTS_H_
#define GRUSERVE_CORE_RUNTIME_STEP_COSTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/network/network_replica.h"

namespace gruserve {

class StepCosts {
 public:
  struct Point {
    int64_t rows = 1;
    absl::Duration cost;
  };

  // A model that cannot step: everything costs an eternity.
  StepCosts() = default;
  // A step of a sequence costs as much as one alone. REQUIRES: rows rise from 1 to the
  // largest batch.
  explicit StepCosts(std::vector<Point> points);

  // Runs batches of 1, 2, 4, ... rows and a sequence of one, each a few times; the
  // fastest counts, since whatever disturbs makes slower. Internal where oneDNN fails.
  static absl::StatusOr<StepCosts> Measure(NetworkReplica& replica);

  // Of the smallest measured batch that holds `rows`; of the largest, in parts,
  // where none does. REQUIRES: rows >= 1.
  absl::Duration Of(int64_t rows) const;

  // Of a whole sequence. Its steps of one row cost less than single ones, since they
  // share what a call costs; of more rows the difference is small.
  absl::Duration OfSequence(int64_t time_steps, int64_t rows) const {
    return time_steps * (rows == 1 ? lone_sequence_step_ : Of(rows));
  }

  // A row's part of the largest batch: what a row costs where there is much to do.
  absl::Duration row_in_largest_batch() const { return row_in_largest_batch_; }
  absl::Duration largest_batch() const {
    return points_.empty() ? absl::InfiniteDuration() : points_.back().cost;
  }

  // Rows from which a batch is worth a second worker: a row costs little more than in
  // the largest batch, or they are half of it, and the whole much more than a waking.
  int64_t worthwhile_rows() const { return worthwhile_rows_; }

  const std::vector<Point>& points() const { return points_; }

 private:
  std::vector<Point> points_;
  absl::Duration lone_sequence_step_ = absl::InfiniteDuration();
  absl::Duration row_in_largest_batch_ = absl::InfiniteDuration();
  int64_t worthwhile_rows_ = 1;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STEP_COSTS_H_

// The (time steps, batch) shapes for which primitives are made: only such as give
// a row the same bits.
//
// Immutable, so thread-safe.

#ifndef GRUSERVE_CORE_ENGINE_BUCKET_SET_H_
#define GRUSERVE_CORE_ENGINE_BUCKET_SET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/summation_order.h"

namespace gruserve {

class BucketSet {
 public:
  static constexpr int64_t kMaxBatchSize = 64;
  static constexpr int64_t kMaxTimeSteps = 128;

  // The buckets of one layer shape that give a row equal bits (bucket_trial.h), and how its columns do
  // (column_trial.h). The answer is remembered for
  // the process: a second call with the same shape is free. Internal where oneDNN fails. Thread-safe.
  static absl::StatusOr<std::shared_ptr<const BucketSet>> Choose(const GruLayerShape& shape);

  // REQUIRES: time steps are powers of two up to kMaxTimeSteps, batches at most
  // kMaxBatchSize, and at least one bucket has one step.
  explicit BucketSet(std::vector<Bucket> buckets,
                     std::shared_ptr<const SummationOrder> column_order = nullptr);

  // The buckets that are also in `other`, without columns. Internal where no step is among them.
  absl::StatusOr<BucketSet> Intersect(const BucketSet& other) const;

  std::span<const Bucket> buckets() const { return buckets_; }

  // Rows that one call can take.
  int64_t max_batch_size() const { return max_batch_size_; }

  // In which GruColumns gives a row the same bits as the buckets; null where it does not.
  const std::shared_ptr<const SummationOrder>& column_order() const { return column_order_; }

  // Index of the bucket to run next for `batch_size` rows with `time_steps` steps
  // to go: it holds all rows and no more than the steps, with little padding and
  // few calls. REQUIRES: 1 <= batch_size <= max_batch_size(), time_steps >= 1.
  size_t Pick(int64_t time_steps, int64_t batch_size) const;

  // A hash of the buckets, 16 hex digits, for a kernel fingerprint.
  std::string Fingerprint() const;

 private:
  static constexpr size_t kTimeLimits = 8;  // 1, 2, 4, ... kMaxTimeSteps.

  std::vector<Bucket> buckets_;
  std::shared_ptr<const SummationOrder> column_order_;
  int64_t max_batch_size_ = 0;
  // By log2 of the time steps (rounded down) and by batch size.
  std::array<std::array<size_t, kMaxBatchSize + 1>, kTimeLimits> picks_{};
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BUCKET_SET_H_

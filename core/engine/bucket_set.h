// The (time steps, batch) shapes of one GRU layer for which primitives are made,
// and which of them give a row the same bits.
//
// Immutable after Choose; shared by all models with the same layer shape.

#ifndef GRUSERVE_CORE_ENGINE_BUCKET_SET_H_
#define GRUSERVE_CORE_ENGINE_BUCKET_SET_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/cell_kind.h"

namespace gruserve {

// What a primitive is made for, apart from T and N.
struct GruLayerShape {
  CellKind cell_kind = CellKind::kLinearBeforeReset;
  int64_t input_size = 0;
  int64_t hidden_size = 0;

  bool operator==(const GruLayerShape&) const = default;
};

struct Bucket {
  int64_t time_steps = 1;
  int64_t batch_size = 1;

  bool operator==(const Bucket&) const = default;
};

class BucketSet {
 public:
  static constexpr int64_t kMaxBatchSize = 64;

  // Makes every candidate bucket's primitive, compares its rows bit for bit with
  // the (1, 2) bucket on random numbers, and keeps the equal ones. The answer is
  // remembered for the process: a second call with the same shape is free.
  // Internal where oneDNN fails. Thread-safe.
  static absl::StatusOr<std::shared_ptr<const BucketSet>> Choose(const GruLayerShape& shape);

  const GruLayerShape& shape() const { return shape_; }
  std::span<const Bucket> buckets() const { return buckets_; }

  // The bucket to run next for `batch_size` rows with `time_steps` steps to go:
  // the smallest batch that holds the rows, the most steps not beyond.
  // REQUIRES: 1 <= batch_size <= kMaxBatchSize, time_steps >= 1.
  Bucket Pick(int64_t time_steps, int64_t batch_size) const;

  // Names the buckets kept, for a kernel fingerprint.
  std::string Fingerprint() const;

 private:
  BucketSet(GruLayerShape shape, std::vector<Bucket> buckets);

  const GruLayerShape shape_;
  const std::vector<Bucket> buckets_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BUCKET_SET_H_

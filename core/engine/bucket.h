// The shapes that oneDNN wants to know before it makes a primitive. Plain values.

#ifndef GRUSERVE_CORE_ENGINE_BUCKET_H_
#define GRUSERVE_CORE_ENGINE_BUCKET_H_

#include <cstdint>
#include <span>

#include "core/engine/cell_kind.h"
#include "core/engine/compute_dtype.h"

namespace gruserve {

// What a primitive is made for, apart from time steps and batch size.
struct GruLayerShape {
  CellKind cell_kind = CellKind::kLinearBeforeReset;
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  ComputeDtype dtype = ComputeDtype::kF32;

  bool operator==(const GruLayerShape&) const = default;
};

// The rest of it: oneDNN 2.6 to 3.x has no run-time dimensions for RNNs.
struct Bucket {
  // Time steps times batch of any bucket.
  static constexpr int64_t kMaxRows = 4096;

  int64_t time_steps = 1;
  int64_t batch_size = 1;
  // Not 0: one row, computed by LoneRow (lone_row.h) with inputs added up in blocks of
  // so many, where oneDNN's primitive would give other bits than for a batch.
  int64_t lone_row_block = 0;

  bool operator==(const Bucket&) const = default;
};

// That of the bucket of one row and step; 0 where there is none.
inline int64_t LoneRowBlock(std::span<const Bucket> buckets) {
  for (const Bucket& bucket : buckets) {
    if (bucket.time_steps == 1 && bucket.batch_size == 1) return bucket.lone_row_block;
  }
  return 0;
}

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BUCKET_H_

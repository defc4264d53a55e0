// The primitives of one layer shape, one a bucket. Made at load.
//
// Not thread-safe: one worker owns it. Make and run it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_PRIMITIVE_TABLE_H_
#define GRUSERVE_CORE_ENGINE_PRIMITIVE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/gru_primitive.h"

namespace gruserve {

class PrimitiveTable {
 public:
  // Internal where oneDNN fails.
  static absl::StatusOr<PrimitiveTable> Create(const GruLayerShape& shape, std::span<const Bucket> buckets);

  // Enough for any of its primitives.
  int64_t scratchpad_bytes() const { return scratchpad_bytes_; }

  // Runs the primitive of the bucket at `index` of Create's buckets.
  absl::Status Run(size_t index, const GruArguments& arguments) { return primitives_[index].Run(arguments); }

 private:
  PrimitiveTable(std::vector<GruPrimitive> primitives, int64_t scratchpad_bytes)
      : primitives_(std::move(primitives)), scratchpad_bytes_(scratchpad_bytes) {}

  std::vector<GruPrimitive> primitives_;
  int64_t scratchpad_bytes_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_PRIMITIVE_TABLE_H_

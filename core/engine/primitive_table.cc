#include "core/engine/primitive_table.h"

#include <algorithm>

#include "core/base/status_macros.h"

namespace gruserve {

absl::StatusOr<PrimitiveTable> PrimitiveTable::Create(const GruLayerShape& shape,
                                                      std::span<const Bucket> buckets) {
  std::vector<GruPrimitive> primitives;
  primitives.reserve(buckets.size());
  int64_t scratchpad_bytes = 0;
  for (const Bucket& bucket : buckets) {
    GRUSERVE_ASSIGN_OR_RETURN(GruPrimitive primitive, GruPrimitive::Create(shape, bucket));
    scratchpad_bytes = std::max(scratchpad_bytes, primitive.scratchpad_bytes());
    primitives.push_back(std::move(primitive));
  }
  return PrimitiveTable(std::move(primitives), scratchpad_bytes);
}

}  // namespace gruserve

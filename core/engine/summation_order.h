// In which order the primitives of a layer shape add up their inputs: what another way to
// compute the same layer must keep to where it is to give the same bits.

#ifndef GRUSERVE_CORE_ENGINE_SUMMATION_ORDER_H_
#define GRUSERVE_CORE_ENGINE_SUMMATION_ORDER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/bucket.h"

namespace gruserve {

struct SummationOrder {
  // f32: as the bucket of one row has it (bucket.h).
  int64_t lone_row_block = 0;
  // bf16: the blocks of inputs, of the layer's I and of the state's H, whose sums are made
  // apart, one input after the other, and then added up.
  std::vector<int64_t> layer_blocks;
  std::vector<int64_t> iter_blocks;
};

// That of the smallest bucket of one step in `buckets`, which is all buckets' where they give
// equal bits. For bf16 the primitive is asked: it adds up 2^30, -2^30 and 1 that lie two inputs
// apart, which are 1 unless a block ends between the first two. What ends within the last four
// inputs is not seen, so that the bits are still to be compared. Internal where oneDNN fails.
// REQUIRES: a bucket of one step is among them.
absl::StatusOr<SummationOrder> FindSummationOrder(const GruLayerShape& shape,
                                                  std::span<const Bucket> buckets);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_SUMMATION_ORDER_H_

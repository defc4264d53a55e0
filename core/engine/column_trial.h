// Tries GruColumns against the primitives that it may stand in for.

#ifndef GRUSERVE_CORE_ENGINE_COLUMN_TRIAL_H_
#define GRUSERVE_CORE_ENGINE_COLUMN_TRIAL_H_

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/summation_order.h"

namespace gruserve {

// The order in which GruColumns gave on random numbers the bits of every bucket of one step and
// up to GruColumns::kMaxBatchSize rows, with every number of steps that it projects at once;
// null where it does not fit `shape`, oneDNN has no primitives for it, or the bits differ. `buckets` give
// equal bits. Up to some tenths of a second for a large hidden size, in bf16 a second. Internal where oneDNN
// fails.
absl::StatusOr<std::shared_ptr<const SummationOrder>> FindColumnOrder(const GruLayerShape& shape,
                                                                      std::span<const Bucket> buckets);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_COLUMN_TRIAL_H_

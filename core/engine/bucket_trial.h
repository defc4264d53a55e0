// Tries every candidate bucket of a layer shape on random numbers and finds out
// which ones give a row the same bits. Needed because a matrix product may add in
// another order for another batch size.

#ifndef GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_
#define GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/bucket.h"

namespace gruserve {

// Candidates are single steps for batches up to 64, and slices of 2, 4, ... 128
// steps of about one GFLOP at most, so that a worker gets to other work soon.
// Returns those equal to (1, 2), itself included. Slow: up to seconds for a large
// hidden size. Internal where oneDNN fails, or where no choice can give equal bits.
absl::StatusOr<std::vector<Bucket>> FindEqualBuckets(const GruLayerShape& shape);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_

// Tries every candidate bucket of a layer shape on random numbers and finds out
// which ones give a row the same bits. Needed because a matrix product may add in
// another order for another batch size.

#ifndef GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_
#define GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"

namespace gruserve {

// Candidates are single steps for batches up to 64, and slices of 2, 4, ... 128
// steps of about one GFLOP at most, so that a worker gets to other work soon.
// Returns those equal to a reference in every place of the batch: (1, 2) if that
// reaches the largest batch, else (1, 4), (1, 8) or (1, 16). Where a row's place
// always matters, those equal to (1, 1). Never without a bucket of one step.
// Slow: up to seconds for a large hidden size. Internal where oneDNN fails, or its bf16 is
// not f32's but for the rounding (CheckBf16Step).
absl::StatusOr<std::vector<Bucket>> FindEqualBuckets(const GruLayerShape& shape);

// Whether a step in bf16 gave what it gives in f32, but for the rounding of its output:
// Internal where it is wrong, NaN too. For the trial, and its test. REQUIRES: equal sizes.
absl::Status CheckBf16Step(const GruLayerShape& shape, std::span<const float> exact,
                           std::span<const float> rounded);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BUCKET_TRIAL_H_

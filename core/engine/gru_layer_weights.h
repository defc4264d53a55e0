// The weights of one GRU layer in one direction, as oneDNN reads them.
// Immutable once filled; shared by all workers and all (T, N) buckets.

#ifndef GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_
#define GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/bucket.h"

namespace gruserve {

struct GruLayerWeights {
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  AlignedBuffer weights_layer;  // ldigo: [I, 3, H], gates u, r, o.
  AlignedBuffer weights_iter;   // ldigo: [H, 3, H], gates u, r, o.
  AlignedBuffer bias;           // ldgo: lbr_gru [4, H] u, r, o, u'; gru [3, H].
};

// `plain`, which is as above, in the one form that the primitives of `shape` read.
// For f32 the weights of two inputs are then WeightStride(3 * H) apart. For bf16 both weights are rounded
// (nearest, ties to even) and in a layout of oneDNN's choice, as bytes: their buffers are no floats then.
// Internal where oneDNN fails. Call it under SingleOmpThread.
absl::StatusOr<GruLayerWeights> LayOutWeights(const GruLayerShape& shape, GruLayerWeights plain);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_

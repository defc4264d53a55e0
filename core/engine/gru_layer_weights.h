// The weights of one GRU layer in one direction, in oneDNN's plain formats.
// Immutable once filled; shared by all workers and all (T, N) buckets.

#ifndef GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_
#define GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_

#include <cstdint>

#include "core/base/aligned_buffer.h"

namespace gruserve {

struct GruLayerWeights {
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  AlignedBuffer weights_layer;  // ldigo: [I, 3, H], gates u, r, o.
  AlignedBuffer weights_iter;   // ldigo: [H, 3, H], gates u, r, o.
  AlignedBuffer bias;           // ldgo: lbr_gru [4, H] u, r, o, u'; gru [3, H].
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_LAYER_WEIGHTS_H_

// Numbers for trials: the same for the same generator, on every machine.

#ifndef GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_
#define GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_

#include <cstdint>
#include <random>

#include "core/base/aligned_buffer.h"
#include "core/engine/gru_layer_weights.h"

namespace gruserve {

// `size` numbers from -bound to bound.
inline AlignedBuffer RandomBuffer(std::mt19937& random, int64_t size, float bound) {
  AlignedBuffer buffer(size);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  for (float& value : buffer.span()) value = uniform(random);
  return buffer;
}

// Plain weights (before LayOutWeights), from -bound to bound.
inline GruLayerWeights RandomWeights(std::mt19937& random, int64_t input_size, int64_t hidden_size,
                                     float bound) {
  return {.input_size = input_size,
          .hidden_size = hidden_size,
          .weights_layer = RandomBuffer(random, input_size * 3 * hidden_size, bound),
          .weights_iter = RandomBuffer(random, hidden_size * 3 * hidden_size, bound),
          .bias = RandomBuffer(random, 4 * hidden_size, bound)};
}

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_

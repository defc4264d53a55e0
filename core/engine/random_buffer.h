// Numbers for trials: the same for the same generator, on every machine.

#ifndef GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_
#define GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_

#include <cstdint>
#include <random>

#include "core/base/aligned_buffer.h"

namespace gruserve {

// `size` numbers from -bound to bound.
inline AlignedBuffer RandomBuffer(std::mt19937& random, int64_t size, float bound) {
  AlignedBuffer buffer(size);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  for (float& value : buffer.span()) value = uniform(random);
  return buffer;
}

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_RANDOM_BUFFER_H_

#include "tests/chaos/script.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <random>

namespace gruserve::chaos {

Operation OperationOf(uint64_t seed, int64_t session, int64_t number, const ModelShape& shape) {
  std::seed_seq sequence{static_cast<uint32_t>(seed), static_cast<uint32_t>(session),
                         static_cast<uint32_t>(number)};
  std::minstd_rand random(sequence);
  Operation operation;
  const auto dice = random() % 100;
  if (dice < 3) return {.set_state = true};
  if (dice < 6)
    return {.set_state = true, .rewind_back = 1 + static_cast<int64_t>(random() % (kKeptStates - 1))};
  operation.set_state = dice < 9;
  if (dice >= 94) operation.time_steps = 2 + static_cast<int64_t>(random() % 3);
  const int64_t size =
      operation.set_state ? shape.layers * shape.hidden_size : operation.time_steps * shape.input_size;
  operation.values.resize(static_cast<size_t>(size));
  for (float& value : operation.values) value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  return operation;
}

uint64_t Chain(uint64_t before, std::span<const float> values) {
  return XXH3_64bits_withSeed(values.data(), values.size_bytes(), before);
}

}  // namespace gruserve::chaos

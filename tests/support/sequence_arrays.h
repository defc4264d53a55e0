// Sequence calls with their own arrays, and comparison by bits.

#ifndef GRUSERVE_TESTS_SUPPORT_SEQUENCE_ARRAYS_H_
#define GRUSERVE_TESTS_SUPPORT_SEQUENCE_ARRAYS_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/model/replica.h"
#include "tests/support/reference_gru.h"

namespace gruserve {

// How many numbers a row has of each.
struct RowSizes {
  int64_t input = 0;
  int64_t output = 0;
  int64_t state = 0;
};

// A sequence call with its own arrays: input [T, B, I], output [T, B, O], states one row
// after another.
struct CallArrays {
  CallArrays(RowSizes row_sizes, int64_t steps, int64_t batch, uint32_t seed)
      : sizes(row_sizes), time_steps(steps), batch_size(batch) {
    std::mt19937 random(seed);
    input = RandomFloats(random, steps * batch * sizes.input);
    h_0 = RandomFloats(random, batch * sizes.state);
    output.assign(static_cast<size_t>(steps * batch * sizes.output), NAN);
    Reset();
  }

  // The states are those of the beginning again.
  void Reset() {
    states = h_0;
    rows.clear();
    for (int64_t b = 0; b < batch_size; ++b) rows.push_back(states.data() + b * sizes.state);
  }

  SequenceCall call() {
    return {.time_steps = time_steps,
            .batch_size = batch_size,
            .input = input.data(),
            .input_time_stride = batch_size * sizes.input,
            .input_batch_stride = sizes.input,
            .output = output.data(),
            .output_time_stride = batch_size * sizes.output,
            .output_batch_stride = sizes.output,
            .lengths = lengths,
            .states = rows};
  }

  // The output of row b at time t.
  const float* OutputAt(int64_t t, int64_t b) const {
    return output.data() + (t * batch_size + b) * sizes.output;
  }

  RowSizes sizes;
  int64_t time_steps;
  int64_t batch_size;
  std::vector<int64_t> lengths;
  std::vector<float> input;
  std::vector<float> h_0;
  std::vector<float> output;
  std::vector<float> states;
  std::vector<float*> rows;
};

// One on a bare GRU.
struct SequenceArrays : CallArrays {
  SequenceArrays(const GruConfig& gru_config, int64_t steps, int64_t batch, uint32_t seed)
      : CallArrays({gru_config.input_size, gru_config.output_size(), gru_config.state_size()}, steps, batch,
                   seed),
        config(gru_config) {}

  // The states as PyTorch lays them out: [layers * D, B, H].
  std::vector<float> Ldnc(const std::vector<float>& by_row) const {
    std::vector<float> ldnc;
    for (int64_t block = 0; block < config.state_blocks(); ++block) {
      for (int64_t b = 0; b < batch_size; ++b) {
        const auto first = by_row.begin() + b * config.state_size() + block * config.hidden_size;
        ldnc.insert(ldnc.end(), first, first + config.hidden_size);
      }
    }
    return ldnc;
  }

  GruConfig config;
};

// Whether two runs of floats are equal bit for bit (so a NaN equals itself).
inline bool SameBits(const float* a, const float* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && SameBits(a.data(), b.data(), static_cast<int64_t>(a.size()));
}

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_SEQUENCE_ARRAYS_H_

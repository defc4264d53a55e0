// A SequenceCall with its own arrays, and comparison by bits.

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

// A sequence call with its own arrays: input [T, B, I], output [T, B, D * H],
// states one row after another.
struct SequenceArrays {
  SequenceArrays(const GruConfig& gru_config, int64_t steps, int64_t batch, uint32_t seed)
      : config(gru_config), time_steps(steps), batch_size(batch) {
    std::mt19937 random(seed);
    input = RandomFloats(random, steps * batch * config.input_size);
    h_0 = RandomFloats(random, batch * config.state_size());
    output.assign(static_cast<size_t>(steps * batch * config.output_size()), NAN);
    Reset();
  }

  void Reset() {
    states = h_0;
    rows.clear();
    for (int64_t b = 0; b < batch_size; ++b) rows.push_back(states.data() + b * config.state_size());
  }

  SequenceCall call() {
    return {.time_steps = time_steps,
            .batch_size = batch_size,
            .input = input.data(),
            .input_time_stride = batch_size * config.input_size,
            .input_batch_stride = config.input_size,
            .output = output.data(),
            .output_time_stride = batch_size * config.output_size(),
            .output_batch_stride = config.output_size(),
            .last_output_only = false,
            .lengths = lengths,
            .states = rows};
  }

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

  // The output of row b at time t.
  const float* OutputAt(int64_t t, int64_t b) const {
    return output.data() + (t * batch_size + b) * config.output_size();
  }

  GruConfig config;
  int64_t time_steps;
  int64_t batch_size;
  std::vector<int64_t> lengths;
  std::vector<float> input;
  std::vector<float> h_0;
  std::vector<float> output;
  std::vector<float> states;
  std::vector<float*> rows;
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

#include "core/network/state_layout.h"

#include <algorithm>
#include <cstddef>

namespace gruserve {
namespace {

// Calls `copy(place in a row, place among the values, count)` for each block of each row.
template <typename Copy>
void ForEachBlock(const Network& network, size_t rows, const Copy& copy) {
  size_t at = 0;
  for (const NetworkState& state : network.states()) {
    const auto hidden = static_cast<size_t>(state.hidden_size);
    for (size_t block = 0; block < static_cast<size_t>(state.blocks); ++block) {
      for (size_t row = 0; row < rows; ++row, at += hidden)
        copy(row, static_cast<size_t>(state.offset) + block * hidden, at, hidden);
    }
  }
}

}  // namespace

void ReadStates(const Network& network, std::span<const float> values, std::span<float* const> rows) {
  ForEachBlock(network, rows.size(), [&](size_t row, size_t place, size_t at, size_t count) {
    std::copy_n(values.data() + at, count, rows[row] + place);
  });
}

void WriteStates(const Network& network, std::span<float* const> rows, std::span<float> values) {
  ForEachBlock(network, rows.size(), [&](size_t row, size_t place, size_t at, size_t count) {
    std::copy_n(rows[row] + place, count, values.data() + at);
  });
}

void InitialStates(const Network& network, std::span<float* const> rows) {
  const std::vector<float>& initial = network.initial_state();
  for (float* const row : rows) {
    if (initial.empty()) {
      std::fill_n(row, network.state_size(), 0.0F);
    } else {
      std::copy(initial.begin(), initial.end(), row);
    }
  }
}

}  // namespace gruserve

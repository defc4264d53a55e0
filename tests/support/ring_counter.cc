#include "tests/support/ring_counter.h"

#include <algorithm>
#include <cstddef>

namespace gruserve {

RandomGruNetwork RingCounter::Network() {
  constexpr int64_t kHidden = kConfig.hidden_size;
  StateDictLayer layer;
  layer.weight_ih.resize(3 * kHidden);
  layer.weight_hh.resize(3 * kHidden * kHidden);
  layer.bias_ih.resize(3 * kHidden);
  layer.bias_hh.resize(3 * kHidden);
  // Rows r|z|n.
  std::fill_n(layer.bias_ih.begin(), kHidden, 200.0F);
  std::fill_n(layer.bias_ih.begin() + kHidden, kHidden, -200.0F);
  int64_t first = 0;
  for (const int64_t ring : kRings) {
    for (int64_t unit = 0; unit < ring; ++unit) {
      const int64_t row = 2 * kHidden + first + unit;
      layer.weight_ih[static_cast<size_t>(row)] = unit == 0 ? 60.0F : -60.0F;
      const int64_t before = first + (unit + ring - 1) % ring;
      layer.weight_hh[static_cast<size_t>(row * kHidden + before)] = 20.0F;
    }
    first += ring;
  }
  return {.config = kConfig, .layers = {std::move(layer)}};
}

std::vector<float> RingCounter::After(int64_t step) {
  std::vector<float> state;
  for (const int64_t ring : kRings) {
    for (int64_t unit = 0; unit < ring; ++unit)
      state.push_back(step == 0 ? 0.0F : unit == (step - 1) % ring ? 1.0F : -1.0F);
  }
  return state;
}

std::optional<int64_t> RingCounter::Steps(std::span<const float> state) {
  for (int64_t step = 0; step <= kPeriod; ++step) {
    if (std::ranges::equal(state, After(step))) return step % kPeriod;
  }
  return std::nullopt;
}

}  // namespace gruserve

#include "core/model/gru_weights.h"

#include <algorithm>
#include <array>

namespace gruserve {
namespace {

// Where PyTorch keeps oneDNN's gates u, r, o: u is z, o is n.
constexpr std::array<int64_t, 3> kPyTorchGate = {1, 0, 2};

// [3H, columns], rows r|z|n, to ldigo [columns, 3, H], gates u, r, o.
AlignedBuffer ReorderWeight(std::span<const float> weight, int64_t columns, int64_t hidden_size) {
  AlignedBuffer reordered(columns * 3 * hidden_size);
  for (int64_t gate = 0; gate < 3; ++gate) {
    for (int64_t unit = 0; unit < hidden_size; ++unit) {
      const int64_t row = kPyTorchGate[static_cast<size_t>(gate)] * hidden_size + unit;
      const float* const source = weight.data() + row * columns;
      float* const target = reordered.data() + gate * hidden_size + unit;
      for (int64_t column = 0; column < columns; ++column) target[column * 3 * hidden_size] = source[column];
    }
  }
  return reordered;
}

// oneDNN adds the two biases of a gate beforehand, but for lbr_gru's candidate,
// whose recurrent bias lies inside the reset: it is the fourth row.
AlignedBuffer CombineBiases(const PyTorchGruTensors& tensors, int64_t hidden_size, CellKind cell_kind) {
  const bool four_rows = cell_kind == CellKind::kLinearBeforeReset;
  AlignedBuffer bias((four_rows ? 4 : 3) * hidden_size);
  if (tensors.bias_ih.empty()) return bias;
  for (int64_t gate = 0; gate < 3; ++gate) {
    for (int64_t unit = 0; unit < hidden_size; ++unit) {
      const auto source = static_cast<size_t>(kPyTorchGate[static_cast<size_t>(gate)] * hidden_size + unit);
      float& target = bias.data()[gate * hidden_size + unit];
      target = tensors.bias_ih[source];
      if (gate == 2 && four_rows) {
        bias.data()[3 * hidden_size + unit] = tensors.bias_hh[source];
      } else {
        target += tensors.bias_hh[source];
      }
    }
  }
  return bias;
}

}  // namespace

GruLayerWeights FromPyTorch(const PyTorchGruTensors& tensors, int64_t input_size, int64_t hidden_size,
                            CellKind cell_kind) {
  return {.input_size = input_size,
          .hidden_size = hidden_size,
          .weights_layer = ReorderWeight(tensors.weight_ih, input_size, hidden_size),
          .weights_iter = ReorderWeight(tensors.weight_hh, hidden_size, hidden_size),
          .bias = CombineBiases(tensors, hidden_size, cell_kind)};
}

}  // namespace gruserve

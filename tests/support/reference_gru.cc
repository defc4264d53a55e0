#include "tests/support/reference_gru.h"

#include <cmath>
#include <cstddef>
#include <utility>

namespace gruserve {
namespace {

using Row = std::vector<double>;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// (weight x + bias)[row]; no bias where it is empty.
double Affine(const std::vector<float>& weight, const std::vector<float>& bias, size_t row, const Row& x) {
  double sum = bias.empty() ? 0.0 : double{bias[row]};
  for (size_t i = 0; i < x.size(); ++i) sum += double{weight[row * x.size() + i]} * x[i];
  return sum;
}

// torch.nn.GRUCell, or its elder sister whose reset comes before the product.
Row Cell(const StateDictLayer& w, CellKind kind, const Row& x, const Row& h) {
  const size_t hidden = h.size();
  Row r(hidden), z(hidden), reset(hidden), next(hidden);
  for (size_t j = 0; j < hidden; ++j) {
    r[j] = Sigmoid(Affine(w.weight_ih, w.bias_ih, j, x) + Affine(w.weight_hh, w.bias_hh, j, h));
    z[j] = Sigmoid(Affine(w.weight_ih, w.bias_ih, hidden + j, x) +
                   Affine(w.weight_hh, w.bias_hh, hidden + j, h));
    reset[j] = r[j] * h[j];
  }
  for (size_t j = 0; j < hidden; ++j) {
    const size_t row = 2 * hidden + j;
    const double recurrent = kind == CellKind::kLinearBeforeReset
                                 ? r[j] * Affine(w.weight_hh, w.bias_hh, row, h)
                                 : Affine(w.weight_hh, w.bias_hh, row, reset);
    const double n = std::tanh(Affine(w.weight_ih, w.bias_ih, row, x) + recurrent);
    next[j] = (1.0 - z[j]) * n + z[j] * h[j];
  }
  return next;
}

}  // namespace

ReferenceResult ReferenceGru(const RandomGruNetwork& gru, int64_t time_steps, int64_t batch_size,
                             const std::vector<float>& input, const std::vector<float>& h_0,
                             const std::vector<int64_t>& lengths) {
  const GruConfig& config = gru.config;
  const size_t hidden = Size(config.hidden_size);
  const size_t width = Size(config.output_size());
  ReferenceResult result;
  result.output.resize(Size(time_steps * batch_size) * width);
  result.h_n.resize(Size(config.state_blocks() * batch_size) * hidden);
  for (int64_t b = 0; b < batch_size; ++b) {
    const size_t length = Size(lengths.empty() ? time_steps : lengths[Size(b)]);
    std::vector<Row> sequence(length);
    for (size_t t = 0; t < length; ++t) {
      const auto first = input.begin() + (static_cast<int64_t>(t) * batch_size + b) * config.input_size;
      sequence[t].assign(first, first + config.input_size);
    }
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      std::vector<Row> outputs(length, Row(width));
      for (int64_t direction = 0; direction < config.num_directions; ++direction) {
        const int64_t block = layer * config.num_directions + direction;
        const size_t state_at = Size(block * batch_size + b) * hidden;
        Row h(hidden);
        for (size_t j = 0; j < hidden && !h_0.empty(); ++j) h[j] = double{h_0[state_at + j]};
        for (size_t step = 0; step < length; ++step) {
          const size_t t = direction == 0 ? step : length - 1 - step;
          h = Cell(gru.layers[Size(block)], config.cell_kind, sequence[t], h);
          for (size_t j = 0; j < hidden; ++j) outputs[t][Size(direction) * hidden + j] = h[j];
        }
        for (size_t j = 0; j < hidden; ++j) result.h_n[state_at + j] = h[j];
      }
      sequence = std::move(outputs);
    }
    for (size_t t = 0; t < length; ++t) {
      for (size_t j = 0; j < width; ++j)
        result.output[(t * Size(batch_size) + Size(b)) * width + j] = sequence[t][j];
    }
  }
  return result;
}

}  // namespace gruserve

#include "core/network/import/onnx/gru_cell.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

struct KnownActivation {
  const char* name;
  bool has_alpha = false;
  bool has_beta = false;
  float alpha = 0;
  float beta = 0;
};
constexpr KnownActivation kActivations[] = {
    {"Affine", true, true, 1, 0},
    {"Elu", true, false, 1, 0},
    {"HardSigmoid", true, true, 0.2F, 0.5F},
    {"LeakyRelu", true, false, 0.01F, 0},
    {"Relu"},
    {"ScaledTanh", true, true, 1, 1},
    {"Sigmoid"},
    {"Softplus"},
    {"Softsign"},
    {"Tanh"},
};

std::string Lower(std::string text) {
  for (char& letter : text) letter = letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
  return text;
}

// A cell's body under construction.
class CellBuilder {
 public:
  CellBuilder(Graph* graph, int64_t hidden_size) : graph_(graph) {
    graph_->inputs = {{"x", 3 * hidden_size}, {"h", hidden_size}};
  }

  ValueId Add(GraphOp op, std::vector<ValueId> inputs) {
    graph_->nodes.push_back({.name = "cell", .op = std::move(op), .inputs = std::move(inputs)});
    return static_cast<ValueId>(graph_->inputs.size() + graph_->nodes.size()) - 1;
  }
  ValueId Unary(UnaryFunction function, ValueId x, float alpha = 0, float beta = 0) {
    return Add(UnaryNode{.function = function, .alpha = alpha, .beta = beta}, {x});
  }
  ValueId Binary(BinaryFunction function, ValueId a, ValueId b) {
    return Add(BinaryNode{.function = function, .constant = {}}, {a, b});
  }
  ValueId Slice(ValueId x, int64_t begin, int64_t width) { return Add(SliceNode{begin, width}, {x}); }

  ValueId Activate(const GruActivation& f, ValueId x) {
    if (f.name == "affine") return Unary(UnaryFunction::kLinear, x, f.alpha, f.beta);
    if (f.name == "elu") return Unary(UnaryFunction::kElu, x, f.alpha);
    if (f.name == "hardsigmoid") return Unary(UnaryFunction::kHardSigmoid, x, f.alpha, f.beta);
    if (f.name == "leakyrelu") return Unary(UnaryFunction::kLeakyRelu, x, f.alpha);
    if (f.name == "relu") return Unary(UnaryFunction::kLeakyRelu, x, 0);
    if (f.name == "sigmoid") return Unary(UnaryFunction::kSigmoid, x);
    if (f.name == "softplus") return Unary(UnaryFunction::kSoftplus, x);
    if (f.name == "tanh") return Unary(UnaryFunction::kTanh, x);
    if (f.name == "scaledtanh") {
      const ValueId scaled = Unary(UnaryFunction::kLinear, x, f.beta, 0);
      return Unary(UnaryFunction::kLinear, Unary(UnaryFunction::kTanh, scaled), f.alpha, 0);
    }
    // Softsign: x / (1 + |x|).
    const ValueId below = Unary(UnaryFunction::kLinear, Unary(UnaryFunction::kAbs, x), 1, 1);
    return Binary(BinaryFunction::kDiv, x, below);
  }

 private:
  Graph* const graph_;
};

DenseNode Rows(std::span<const float> matrix, int64_t columns, int64_t first, int64_t count) {
  const auto begin = matrix.begin() + first * columns;
  return {.output_width = count, .weight = {begin, begin + count * columns}, .bias = {}};
}

DenseNode Projection(const GruCellWeights& weights) {
  const auto hidden = static_cast<size_t>(weights.hidden_size);
  DenseNode projection = Rows(weights.weights, weights.input_size, 0, 3 * weights.hidden_size);
  if (weights.bias.empty()) return projection;
  const std::span<const float> recurrent_bias = weights.bias.subspan(3 * hidden);
  projection.bias.assign(weights.bias.begin(), weights.bias.begin() + 3 * weights.hidden_size);
  // The candidate's own stands inside the reset where that comes after the product.
  const size_t together = weights.cell_kind == CellKind::kLinearBeforeReset ? 2 * hidden : 3 * hidden;
  for (size_t i = 0; i < together; ++i) projection.bias[i] += recurrent_bias[i];
  return projection;
}

}  // namespace

bool GruActivations::plain() const {
  for (size_t i = 0; i < functions.size(); ++i) {
    if (functions[i].name != (i % 2 == 0 ? "sigmoid" : "tanh")) return false;
  }
  return !clip.has_value();
}

absl::StatusOr<GruActivations> ReadGruActivations(const OnnxNode& node, int64_t directions) {
  GruActivations activations;
  std::vector<std::string> names;
  for (int64_t i = 0; i < directions; ++i) {
    names.emplace_back("Sigmoid");
    names.emplace_back("Tanh");
  }
  const auto wanted = names.size();
  if (const OnnxAttribute* const attribute = node.Find("activations")) names = attribute->strings;
  if (names.size() != wanted)
    return absl::InvalidArgumentError(absl::StrCat("has ", names.size(), " activations, expected ", wanted));
  const OnnxAttribute* const alphas = node.Find("activation_alpha");
  const OnnxAttribute* const betas = node.Find("activation_beta");
  size_t next_alpha = 0;
  size_t next_beta = 0;
  for (const std::string& name : names) {
    const auto* const known =
        std::find_if(std::begin(kActivations), std::end(kActivations),
                     [&](const KnownActivation& each) { return Lower(each.name) == Lower(name); });
    if (known == std::end(kActivations))
      return absl::InvalidArgumentError(
          "has an activation that is not one of Affine, Elu, HardSigmoid, LeakyRelu, Relu, ScaledTanh, "
          "Sigmoid, Softplus, Softsign, Tanh");
    GruActivation function{.name = Lower(name), .alpha = known->alpha, .beta = known->beta};
    if (known->has_alpha && alphas != nullptr && next_alpha < alphas->floats.size())
      function.alpha = alphas->floats[next_alpha++];
    if (known->has_beta && betas != nullptr && next_beta < betas->floats.size())
      function.beta = betas->floats[next_beta++];
    activations.functions.push_back(std::move(function));
  }
  if (const OnnxAttribute* const clip = node.Find("clip")) {
    if (!(clip->f > 0) || !std::isfinite(clip->f))
      return absl::InvalidArgumentError(absl::StrCat("clip is ", clip->f, ", expected more than 0"));
    activations.clip = clip->f;
  }
  return activations;
}

GruCell MakeGruCell(const GruCellWeights& weights, const GruActivations& activations, size_t direction) {
  const int64_t hidden = weights.hidden_size;
  GruCell cell{.projection = Projection(weights), .body = {}};
  CellBuilder b(&cell.body, hidden);
  const ValueId x = 0;
  const ValueId h = 1;
  const auto clipped = [&](ValueId value) {
    return activations.clip ? b.Unary(UnaryFunction::kClip, value, -*activations.clip, *activations.clip)
                            : value;
  };
  const ValueId gates_of_h = b.Add(Rows(weights.recurrent, hidden, 0, 2 * hidden), {h});
  const ValueId gate_sums = b.Binary(BinaryFunction::kAdd, b.Slice(x, 0, 2 * hidden), gates_of_h);
  const ValueId gates = b.Activate(activations.functions[2 * direction], clipped(gate_sums));
  const ValueId update = b.Slice(gates, 0, hidden);
  const ValueId reset = b.Slice(gates, hidden, hidden);
  DenseNode candidate = Rows(weights.recurrent, hidden, 2 * hidden, hidden);
  ValueId inner = 0;
  if (weights.cell_kind == CellKind::kLinearBeforeReset) {
    if (!weights.bias.empty())
      candidate.bias.assign(weights.bias.begin() + 5 * hidden, weights.bias.begin() + 6 * hidden);
    inner = b.Binary(BinaryFunction::kMul, reset, b.Add(std::move(candidate), {h}));
  } else {
    inner = b.Add(std::move(candidate), {b.Binary(BinaryFunction::kMul, reset, h)});
  }
  const ValueId sum = b.Binary(BinaryFunction::kAdd, b.Slice(x, 2 * hidden, hidden), inner);
  const ValueId fresh = b.Activate(activations.functions[2 * direction + 1], clipped(sum));
  const ValueId rest = b.Unary(UnaryFunction::kLinear, update, -1, 1);
  cell.body.output = b.Binary(BinaryFunction::kAdd, b.Binary(BinaryFunction::kMul, rest, fresh),
                              b.Binary(BinaryFunction::kMul, update, h));
  cell.body.output_name = std::string("h");
  return cell;
}

}  // namespace gruserve

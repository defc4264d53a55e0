#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/gru_weights.h"
#include "core/network/import/onnx/gru_cell.h"
#include "core/network/import/onnx/operators.h"
#include "core/network/import/onnx/row_moves.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// A GRU node, read and checked.
struct OnnxGru {
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  int64_t directions = 1;
  bool reverse = false;  // The only direction is the reversed one.
  bool batch_first = false;
  CellKind cell_kind = CellKind::kResetBefore;
  OnnxTensorPtr weights;    // [D, 3H, I], rows z|r|h.
  OnnxTensorPtr recurrent;  // [D, 3H, H]
  OnnxTensorPtr bias;       // [D, 6H], or null.
  GruActivations activations;
};

absl::StatusOr<OnnxTensorPtr> Weights(const OnnxNode& node, const OnnxScope& scope, size_t i,
                                      const char* name, std::vector<int64_t> shape) {
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensorPtr tensor, scope.Constant(node, i, name));
  if (tensor->is_float && tensor->shape == shape) return tensor;
  return Bad(absl::StrCat(name, " is ", tensor->is_float ? "" : "whole numbers of ", ShapeText(tensor->shape),
                          ", expected floats of ", ShapeText(shape)));
}

absl::Status ReadDirection(const OnnxNode& node, OnnxGru* gru) {
  const OnnxAttribute* const attribute = node.Find("direction");
  const std::string direction = attribute == nullptr ? "forward" : attribute->s;
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    return Bad("direction is not one of forward, reverse, bidirectional");
  gru->directions = direction == "bidirectional" ? 2 : 1;
  gru->reverse = direction == "reverse";
  return absl::OkStatus();
}

absl::StatusOr<OnnxGru> ReadGru(const OnnxNode& node, const OnnxScope& scope, const OnnxValue& x) {
  OnnxGru gru;
  GRUSERVE_RETURN_IF_ERROR(ReadDirection(node, &gru));
  GRUSERVE_ASSIGN_OR_RETURN(gru.activations, ReadGruActivations(node, gru.directions));
  gru.batch_first = node.IntOr("layout", 0) != 0;
  if (node.IntOr("linear_before_reset", 0) != 0)
    gru.cell_kind = CellKind::kLinearBeforeReset;
  else if (scope.model.producer == "pytorch" && !scope.reset_before_confirmed)
    return Bad(
        "linear_before_reset is 0 in a file of PyTorch's, whose GRUs have 1 (an exporter's known mistake): "
        "set it to 1, or confirm it with \"linear_before_reset\": 0 in model.json");
  if (x.rank() != 3) return Bad(absl::StrCat("X is ", ShapeText(x.shape), ", expected 3 axes"));
  const int64_t time = x.shape[gru.batch_first ? 1 : 0];
  const int64_t batch = x.shape[gru.batch_first ? 0 : 1];
  if (time != (scope.has_time ? kTimeAxis : 1) || (batch != kBatchAxis && batch != 1) || x.last_step)
    return Bad(absl::StrCat("X is ", ShapeText(x.shape), x.last_step ? " of the last time step" : "",
                            ", expected [", gru.batch_first ? "batch, time" : "time, batch", ", features]"));
  gru.input_size = x.shape[2];
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr recurrent, scope.Constant(node, 2, "R"));
  if (recurrent->shape.size() != 3 || recurrent->shape[2] < 1 || recurrent->shape[2] > (1 << 20))
    return Bad(absl::StrCat("R is ", ShapeText(recurrent->shape), ", expected [directions, 3 * H, H]"));
  const int64_t hidden = gru.hidden_size = recurrent->shape[2];
  if (node.IntOr("hidden_size", hidden) != hidden)
    return Bad(absl::StrCat("hidden_size is ", node.IntOr("hidden_size", hidden), ", R has ", hidden));
  GRUSERVE_ASSIGN_OR_RETURN(gru.weights,
                            Weights(node, scope, 1, "W", {gru.directions, 3 * hidden, gru.input_size}));
  GRUSERVE_ASSIGN_OR_RETURN(gru.recurrent,
                            Weights(node, scope, 2, "R", {gru.directions, 3 * hidden, hidden}));
  if (node.has_input(3)) {
    GRUSERVE_ASSIGN_OR_RETURN(gru.bias, Weights(node, scope, 3, "B", {gru.directions, 6 * hidden}));
  }
  // As an input it is the call's lengths; the importer has seen to that.
  if (node.has_input(4) && scope.values.contains(node.inputs[4]))
    return Bad("sequence_lens is computed or a constant, expected an input of the graph");
  return gru;
}

// Rows z|r|h as r|z|h, which is PyTorch's order.
std::vector<float> InPyTorchOrder(std::span<const float> rows) {
  const size_t gate = rows.size() / 3;
  std::vector<float> ordered(rows.begin(), rows.end());
  std::rotate(ordered.begin(), ordered.begin() + static_cast<std::ptrdiff_t>(gate),
              ordered.begin() + static_cast<std::ptrdiff_t>(2 * gate));
  return ordered;
}

std::span<const float> Part(const OnnxTensorPtr& tensor, int64_t part, int64_t parts) {
  if (tensor == nullptr) return {};
  const size_t size = tensor->floats.size() / static_cast<size_t>(parts);
  return std::span(tensor->floats).subspan(static_cast<size_t>(part) * size, size);
}

GruLayerWeights LayerOf(const OnnxGru& gru, int64_t direction) {
  const int64_t hidden = gru.hidden_size;
  const auto ih = InPyTorchOrder(Part(gru.weights, direction, gru.directions));
  const auto hh = InPyTorchOrder(Part(gru.recurrent, direction, gru.directions));
  const auto bias_ih = InPyTorchOrder(Part(gru.bias, 2 * direction, 2 * gru.directions));
  const auto bias_hh = InPyTorchOrder(Part(gru.bias, 2 * direction + 1, 2 * gru.directions));
  return FromPyTorch({ih, hh, bias_ih, bias_hh}, gru.input_size, hidden, gru.cell_kind);
}

GruCellWeights CellOf(const OnnxGru& gru, int64_t direction) {
  return {.input_size = gru.input_size,
          .hidden_size = gru.hidden_size,
          .cell_kind = gru.cell_kind,
          .weights = Part(gru.weights, direction, gru.directions),
          .recurrent = Part(gru.recurrent, direction, gru.directions),
          .bias = Part(gru.bias, direction, gru.directions)};
}

// What each row begins with, where the file says it: the same for all rows.
absl::StatusOr<std::vector<float>> ConstantState(const OnnxGru& gru, const OnnxValue& value) {
  const std::vector<int64_t>& shape = value.shape;
  const size_t batch_axis = gru.batch_first ? 0 : 1;
  if (shape.size() != 3 || !value.constant->is_float || shape[1 - batch_axis] != gru.directions ||
      shape[2] != gru.hidden_size)
    return Bad(absl::StrCat("initial_h is ", ShapeText(shape), ", expected ", gru.directions,
                            " directions of ", gru.hidden_size));
  const int64_t batch = IsCallAxis(shape[batch_axis]) ? 1 : shape[batch_axis];
  if (batch < 1) return Bad("initial_h has no batch row");
  std::vector<float> state;
  for (int64_t direction = 0; direction < gru.directions; ++direction) {
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t row = gru.batch_first ? b * gru.directions + direction : direction * batch + b;
      const auto first = value.constant->floats.begin() + row * gru.hidden_size;
      if (b == 0) state.insert(state.end(), first, first + gru.hidden_size);
      if (!std::equal(first, first + gru.hidden_size, state.end() - gru.hidden_size))
        return Bad("initial_h is a constant that differs between batch rows");
    }
  }
  const bool zeros = std::all_of(state.begin(), state.end(), [](float number) { return number == 0; });
  return zeros ? std::vector<float>{} : state;
}

// The state of the node: an input's blocks, or one of its own.
absl::StatusOr<std::vector<OnnxBlock>> StateOf(const OnnxNode& node, const OnnxGru& gru, OnnxScope& scope) {
  const OnnxValue& value = scope.In(node, 5);
  if (value.kind == OnnxValue::Kind::kRows || value.kind == OnnxValue::Kind::kFinalState)
    return Bad("initial_h is computed by the graph, expected an input, a constant, or none");
  if (value.kind == OnnxValue::Kind::kState) {
    const std::vector<OnnxBlock>& blocks = value.blocks;
    const GraphState& state = scope.graph.states[static_cast<size_t>(blocks[0].state)];
    if (static_cast<int64_t>(blocks.size()) != gru.directions || state.hidden_size != gru.hidden_size ||
        (blocks.size() == 2 &&
         (blocks[1].state != blocks[0].state || blocks[1].block != blocks[0].block + 1)))
      return Bad(absl::StrCat("initial_h is ", blocks.size(), " blocks of ", state.hidden_size, ", expected ",
                              gru.directions, " of ", gru.hidden_size, ", in their order"));
    return blocks;
  }
  GraphState state{.name = node.name, .blocks = gru.directions, .hidden_size = gru.hidden_size};
  if (value.is_constant()) {
    GRUSERVE_ASSIGN_OR_RETURN(state.initial, ConstantState(gru, value));
  }
  scope.graph.states.push_back(std::move(state));
  const auto index = static_cast<int64_t>(scope.graph.states.size()) - 1;
  std::vector<OnnxBlock> blocks;
  for (int64_t block = 0; block < gru.directions; ++block) blocks.push_back({.state = index, .block = block});
  return blocks;
}

absl::StatusOr<ValueId> Reversed(const OnnxNode& node, OnnxScope& scope, ValueId value) {
  return scope.Append(node.name, ReverseTimeNode{}, {value}, scope.width(value));
}

absl::StatusOr<ValueId> AppendPrimitive(const OnnxNode& node, const OnnxGru& gru, OnnxScope& scope, ValueId x,
                                        const OnnxBlock& first) {
  GruNode op{.network = {}, .state = first.state, .first_block = first.block};
  op.network.config = {.cell_kind = gru.cell_kind,
                       .input_size = gru.input_size,
                       .hidden_size = gru.hidden_size,
                       .num_directions = gru.directions,
                       .bias = gru.bias != nullptr};
  for (int64_t direction = 0; direction < gru.directions; ++direction)
    op.network.layers.push_back(LayerOf(gru, direction));
  op.network.parameter_count =
      static_cast<int64_t>(gru.weights->floats.size() + gru.recurrent->floats.size() +
                           (gru.bias == nullptr ? 0 : gru.bias->floats.size()));
  if (gru.reverse) {
    GRUSERVE_ASSIGN_OR_RETURN(x, Reversed(node, scope, x));
  }
  GRUSERVE_ASSIGN_OR_RETURN(ValueId y,
                            scope.Append(node.name, std::move(op), {x}, gru.directions * gru.hidden_size));
  if (gru.reverse) return Reversed(node, scope, y);
  return y;
}

// One cell a direction, each composed of row ops.
absl::StatusOr<ValueId> AppendCells(const OnnxNode& node, const OnnxGru& gru, OnnxScope& scope, ValueId x,
                                    const std::vector<OnnxBlock>& blocks) {
  std::vector<ValueId> outputs;
  for (int64_t direction = 0; direction < gru.directions; ++direction) {
    const auto at = static_cast<size_t>(direction);
    const bool backwards = gru.reverse || direction == 1;
    GruCell cell = MakeGruCell(CellOf(gru, direction), gru.activations, at);
    GRUSERVE_ASSIGN_OR_RETURN(ValueId value,
                              scope.Append(node.name, std::move(cell.projection), {x}, 3 * gru.hidden_size));
    if (backwards) {
      GRUSERVE_ASSIGN_OR_RETURN(value, Reversed(node, scope, value));
    }
    GRUSERVE_ASSIGN_OR_RETURN(value,
                              scope.Append(node.name,
                                           CellNode{.body = std::make_unique<Graph>(std::move(cell.body)),
                                                    .state = blocks[at].state,
                                                    .block = blocks[at].block},
                                           {value}, gru.hidden_size));
    if (backwards) {
      GRUSERVE_ASSIGN_OR_RETURN(value, Reversed(node, scope, value));
    }
    outputs.push_back(value);
  }
  if (outputs.size() == 1) return outputs[0];
  return scope.Append(node.name, ConcatNode{}, outputs, 2 * gru.hidden_size);
}

// What a step of each block gives, for those who compute with Y_h.
absl::Status FindBlockRows(const OnnxNode& node, const OnnxGru& gru, OnnxScope& scope, ValueId y,
                           std::vector<OnnxBlock>* blocks) {
  if (gru.reverse) return absl::OkStatus();
  blocks->front().rows = y;
  if (gru.directions == 1) return absl::OkStatus();
  GRUSERVE_ASSIGN_OR_RETURN(
      blocks->front().rows,
      scope.Append(node.name, SliceNode{.begin = 0, .width = gru.hidden_size}, {y}, gru.hidden_size));
  return absl::OkStatus();
}

}  // namespace

absl::Status LowerGru(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxGru gru, ReadGru(node, scope, x));
  if (!scope.has_time && (gru.reverse || gru.directions == 2))
    return Bad("has a reversed direction, and X no time axis");
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<OnnxBlock> blocks, StateOf(node, gru, scope));
  absl::StatusOr<ValueId> y = gru.activations.plain() ? AppendPrimitive(node, gru, scope, x.rows, blocks[0])
                                                      : AppendCells(node, gru, scope, x.rows, blocks);
  if (!y.ok()) return y.status();
  for (const OnnxBlock& block : blocks) scope.gru_outputs[block.state].push_back(*y);
  GRUSERVE_RETURN_IF_ERROR(FindBlockRows(node, gru, scope, *y, &blocks));
  std::vector<int64_t> shape = {x.shape[0], gru.directions, x.shape[1], gru.hidden_size};
  if (gru.batch_first) std::swap(shape[1], shape[2]);
  GRUSERVE_RETURN_IF_ERROR(scope.Give(node, 0, OnnxScope::Like(x, *y, std::move(shape))));
  const int64_t batch = x.shape[gru.batch_first ? 0 : 1];
  OnnxValue last{.kind = OnnxValue::Kind::kFinalState, .shape = {gru.directions, batch, gru.hidden_size}};
  if (gru.batch_first) std::swap(last.shape[0], last.shape[1]);
  last.blocks = std::move(blocks);
  return scope.Give(node, 1, std::move(last));
}

}  // namespace gruserve

#include "core/network/import/onnx/onnx_scope.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr size_t kMaxName = 120;
constexpr int64_t kMaxNodes = int64_t{1} << 17;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

const char* KindText(OnnxValue::Kind kind) {
  switch (kind) {
    case OnnxValue::Kind::kMissing:
      return "left out";
    case OnnxValue::Kind::kConstant:
      return "a constant";
    case OnnxValue::Kind::kRows:
      return "computed in each call";
    case OnnxValue::Kind::kState:
      return "a state that comes with a call";
    case OnnxValue::Kind::kFinalState:
      return "a state after the call";
  }
  return "";
}

// Trained numbers that a node of the graph keeps.
int64_t WeightsOf(const GraphOp& op) {
  if (const auto* const dense = std::get_if<DenseNode>(&op))
    return static_cast<int64_t>(dense->weight.size());
  if (const auto* const table = std::get_if<EmbeddingNode>(&op))
    return static_cast<int64_t>(table->table.size());
  if (const auto* const gru = std::get_if<GruNode>(&op)) return gru->network.parameter_count;
  const auto* const cell = std::get_if<CellNode>(&op);
  if (cell == nullptr) return 0;
  int64_t sum = 0;
  for (const GraphNode& node : cell->body->nodes) sum += WeightsOf(node.op);
  return sum;
}

}  // namespace

OnnxValue ConstantValue(OnnxTensor tensor) {
  OnnxValue value{.kind = OnnxValue::Kind::kConstant, .shape = tensor.shape};
  value.constant = std::make_shared<const OnnxTensor>(std::move(tensor));
  return value;
}

std::string PrintableName(const std::string& name) { return absl::CHexEscape(name.substr(0, kMaxName)); }

const OnnxValue& OnnxScope::In(const OnnxNode& node, size_t i) const {
  if (!node.has_input(i)) return missing_;
  const auto found = values.find(node.inputs[i]);
  return found == values.end() ? missing_ : found->second;
}

absl::StatusOr<OnnxTensorPtr> OnnxScope::Constant(const OnnxNode& node, size_t i,
                                                  const std::string& what) const {
  const OnnxValue& value = In(node, i);
  if (value.is_constant()) return value.constant;
  return Bad(absl::StrCat(what, " is ", KindText(value.kind), ", expected a constant"));
}

absl::StatusOr<std::vector<int64_t>> OnnxScope::Ints(const OnnxNode& node, size_t i,
                                                     const std::string& what) const {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr constant, Constant(node, i, what));
  if (constant->is_float || constant->shape.size() > 1)
    return Bad(absl::StrCat(what, " is a ", constant->is_float ? "float" : "whole number", " tensor of ",
                            ShapeText(constant->shape), ", expected a list of whole numbers"));
  return constant->ints;
}

absl::StatusOr<OnnxValue> OnnxScope::ToRows(const OnnxValue& value) const {
  if (value.kind == OnnxValue::Kind::kRows) {
    if (value.truncated)
      return Bad("its input is made whole by a Cast, which is served for the indices of a Gather only");
    return value;
  }
  if (value.kind != OnnxValue::Kind::kFinalState)
    return Bad(absl::StrCat("its input is ", KindText(value.kind),
                            ", expected a value that is computed at every time step"));
  if (value.blocks.size() != 1)
    return Bad(absl::StrCat("computes with ", value.blocks.size(),
                            " blocks of a Y_h, expected one: take one of them first"));
  if (value.blocks[0].rows < 0)
    return Bad("computes with the Y_h of a reversed direction, which mixes time steps");
  return OnnxValue{.kind = OnnxValue::Kind::kRows,
                   .shape = value.shape,
                   .constant = nullptr,
                   .rows = value.blocks[0].rows,
                   .last_step = has_time};
}

absl::StatusOr<OnnxValue> OnnxScope::Rows(const OnnxNode& node, size_t i) const {
  return ToRows(In(node, i));
}

absl::Status OnnxScope::Give(const OnnxNode& node, size_t i, OnnxValue value) {
  if (i >= node.outputs.size() || node.outputs[i].empty()) return absl::OkStatus();
  if (value.is_constant()) {
    folded_elements_ += static_cast<int64_t>(value.constant->floats.size() + value.constant->ints.size());
    const int64_t allowed = 4 * (kMaxGrownElements + model.parameter_count);
    if (folded_elements_ > allowed)
      return Bad(
          absl::StrCat("brings the constants to ", folded_elements_, " elements, expected up to ", allowed));
  }
  values[node.outputs[i]] = std::move(value);
  return absl::OkStatus();
}

absl::StatusOr<ValueId> OnnxScope::Append(const std::string& name, GraphOp op, std::vector<ValueId> inputs,
                                          int64_t width) {
  if (width < 1 || width > kMaxWidth)
    return Bad(absl::StrCat("gives ", width, " features, expected 1 to ", kMaxWidth));
  if (static_cast<int64_t>(graph.nodes.size()) >= kMaxNodes)
    return Bad(absl::StrCat("is more than ", kMaxNodes, " steps into the network"));
  // A small file may name one large matrix many times.
  weights_ += WeightsOf(op);
  const int64_t allowed = 4 * (kMaxGrownElements + model.parameter_count);
  if (weights_ > allowed)
    return Bad(absl::StrCat("brings the weights to ", weights_, " numbers, expected up to ", allowed));
  graph.nodes.push_back({.name = name, .op = std::move(op), .inputs = std::move(inputs)});
  widths.push_back(width);
  return static_cast<ValueId>(widths.size()) - 1;
}

OnnxValue OnnxScope::Like(const OnnxValue& rows, ValueId value, std::vector<int64_t> shape) {
  return {.kind = OnnxValue::Kind::kRows,
          .shape = std::move(shape),
          .constant = nullptr,
          .rows = value,
          .last_step = rows.last_step};
}

}  // namespace gruserve

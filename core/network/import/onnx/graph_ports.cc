#include "core/network/import/onnx/graph_ports.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxFeatures = int64_t{1} << 20;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

std::string Named(const char* what, const std::string& name) {
  return absl::StrCat(what, " \"", PrintableName(name), "\": ");
}

using Symbols = std::map<std::string, int64_t>;

// The shape of an input whose first axes are `axes`.
absl::StatusOr<std::vector<int64_t>> InputShape(const OnnxPort& port, std::string_view axes,
                                                const Symbols& symbols) {
  const std::string what = Named("input", port.name);
  if (!port.has_shape) return Bad(what + "has no shape");
  if (port.axes.size() < axes.size())
    return Bad(absl::StrCat(what, "has ", port.axes.size(), " axes, expected time, batch and features"));
  std::vector<int64_t> shape;
  int64_t features = 1;
  for (size_t i = 0; i < port.axes.size(); ++i) {
    const OnnxPort::Axis& axis = port.axes[i];
    const auto symbol = symbols.find(axis.symbol);
    if (!axis.symbol.empty() && symbol != symbols.end()) {
      shape.push_back(symbol->second);
      continue;
    }
    if (i < axes.size() && axes[i] != '1') {
      shape.push_back(axes[i] == 'T' ? kTimeAxis : kBatchAxis);
      continue;
    }
    if (!axis.size || *axis.size < 1 || (i < axes.size() && *axis.size != 1))
      return Bad(absl::StrCat(what, "axis ", i, " has ", axis.size ? "the size " : "no size",
                              axis.size ? absl::StrCat(*axis.size) : "", ", expected a fixed one"));
    const std::optional<int64_t> product = CheckedMultiply(features, *axis.size);
    if (!product || *product > kMaxFeatures)
      return Bad(absl::StrCat(what, "has more than ", kMaxFeatures, " features"));
    features = *product;
    shape.push_back(*axis.size);
  }
  for (const int64_t call_axis : {kTimeAxis, kBatchAxis}) {
    if (std::count(shape.begin(), shape.end(), call_axis) > 1)
      return Bad(absl::StrCat(what, "has the shape ", ShapeText(shape), ", expected each of them once"));
  }
  return shape;
}

// Where the batch is, if no axis of a state is left open: [L, B, H], [B, L, H], [B, H].
std::optional<size_t> BatchAxisOfStates(size_t rank, bool batch_first) {
  if (rank < 2) return std::nullopt;
  return rank == 2 || batch_first ? 0 : rank - 2;
}

bool HasNoOpenAxis(const OnnxPort& port) {
  return std::all_of(port.axes.begin(), port.axes.end(),
                     [](const OnnxPort::Axis& axis) { return axis.size.has_value(); });
}

absl::Status AddState(const OnnxPort& port, OnnxScope* scope) {
  const std::string what = Named("input", port.name);
  const size_t rank = port.axes.size();
  if (!port.is_float || rank < 1 || rank > 4)
    return Bad(absl::StrCat(what, "is a hidden state of ", rank, " axes, expected floats of 1 to 4"));
  std::vector<int64_t> shape;
  int64_t blocks = 1;
  for (size_t i = 0; i < rank; ++i) {
    const std::optional<int64_t> size = port.axes[i].size;
    const bool can_be_batch = i + 1 < rank && std::count(shape.begin(), shape.end(), kBatchAxis) == 0;
    const bool at_its_place = i == BatchAxisOfStates(rank, scope->batch_first_states);
    if (can_be_batch && (!size || (at_its_place && HasNoOpenAxis(port)))) {
      shape.push_back(kBatchAxis);
      continue;
    }
    if (!size || *size < 1 || *size > (i + 1 < rank ? 4096 : kMaxFeatures))
      return Bad(absl::StrCat(what, "axis ", i, " has no size, or one out of range"));
    shape.push_back(*size);
    if (i + 1 < rank) blocks *= *size;
    if (blocks > 4096) return Bad(absl::StrCat(what, "has ", blocks, " blocks, expected up to 4096"));
  }
  const auto index = static_cast<int64_t>(scope->graph.states.size());
  scope->graph.states.push_back({.name = PrintableName(port.name),
                                 .blocks = blocks,
                                 .hidden_size = shape.back(),
                                 .module_kind = rank < 3 ? ModuleKind::kGruCell : ModuleKind::kGru,
                                 .initial = {}});
  OnnxValue value{.kind = OnnxValue::Kind::kState, .shape = std::move(shape)};
  for (int64_t block = 0; block < blocks; ++block) value.blocks.push_back({.state = index, .block = block});
  scope->values[port.name] = std::move(value);
  ++scope->input_states;
  return absl::OkStatus();
}

// One state out of several: what a Concat of Y_h gives, of GRUs without an initial_h.
void MergeStates(const std::string& name, const std::vector<OnnxBlock>& blocks, OnnxScope* scope) {
  std::vector<GraphState>& states = scope->graph.states;
  const GraphState& first = states[static_cast<size_t>(blocks[0].state)];
  std::map<int64_t, int64_t> place;  // Of each state: where its blocks begin.
  for (size_t i = 0; i < blocks.size(); ++i) {
    const GraphState& state = states[static_cast<size_t>(blocks[i].state)];
    const auto begin = place.emplace(blocks[i].state, static_cast<int64_t>(i)).first->second;
    if (blocks[i].state < scope->input_states || state.hidden_size != first.hidden_size ||
        blocks[i].block != static_cast<int64_t>(i) - begin)
      return;
  }
  int64_t covered = 0;
  for (const auto& [state, begin] : place) covered += states[static_cast<size_t>(state)].blocks;
  if (covered != static_cast<int64_t>(blocks.size())) return;
  const int64_t hidden = first.hidden_size;
  GraphState merged{.name = name, .blocks = covered, .hidden_size = hidden, .initial = {}};
  merged.initial.resize(static_cast<size_t>(covered * hidden), 0.0F);
  for (const auto& [state, begin] : place) {
    const std::vector<float>& initial = states[static_cast<size_t>(state)].initial;
    std::copy(initial.begin(), initial.end(), merged.initial.begin() + begin * hidden);
  }
  if (std::all_of(merged.initial.begin(), merged.initial.end(), [](float each) { return each == 0; }))
    merged.initial.clear();
  // The first of them becomes the merged one; the others go, and those after move up.
  std::vector<int64_t> renumbered(states.size());
  std::vector<GraphState> kept;
  const int64_t target = place.begin()->first;
  for (size_t i = 0; i < states.size(); ++i) {
    const auto state = static_cast<int64_t>(i);
    renumbered[i] = static_cast<int64_t>(kept.size());
    if (state == target)
      kept.emplace_back();
    else if (!place.contains(state))
      kept.push_back(std::move(states[i]));
    else
      renumbered[i] = renumbered[static_cast<size_t>(target)];
  }
  kept[static_cast<size_t>(renumbered[static_cast<size_t>(target)])] = std::move(merged);
  const auto move_up = [&](int64_t* state, int64_t* block) {
    if (place.contains(*state)) *block += place[*state];
    *state = renumbered[static_cast<size_t>(*state)];
  };
  for (GraphNode& node : scope->graph.nodes) {
    if (auto* const gru = std::get_if<GruNode>(&node.op)) move_up(&gru->state, &gru->first_block);
    if (auto* const cell = std::get_if<CellNode>(&node.op)) move_up(&cell->state, &cell->block);
  }
  for (auto& [unused, value] : scope->values) {
    for (OnnxBlock& block : value.blocks) move_up(&block.state, &block.block);
  }
  std::map<int64_t, std::vector<ValueId>> outputs;
  for (const auto& [state, rows] : scope->gru_outputs) {
    std::vector<ValueId>& all = outputs[renumbered[static_cast<size_t>(state)]];
    all.insert(all.end(), rows.begin(), rows.end());
  }
  scope->gru_outputs = std::move(outputs);
  states = std::move(kept);
}

// Output without a value of every time step: what the GRUs behind a Y_h give.
std::vector<ValueId> OutputsBehind(const OnnxValue& value, const OnnxScope& scope) {
  std::vector<ValueId> rows;
  for (const OnnxBlock& block : value.blocks) {
    for (const ValueId output : scope.gru_outputs.at(block.state)) {
      if (std::find(rows.begin(), rows.end(), output) == rows.end()) rows.push_back(output);
    }
  }
  return rows;
}

absl::Status SetOutput(std::vector<ValueId> rows, const std::string& name, OnnxScope* scope) {
  scope->graph.output_name = name;
  scope->graph.output = rows[0];
  if (rows.size() == 1) return absl::OkStatus();
  int64_t width = 0;
  for (const ValueId each : rows) width += scope->width(each);
  GRUSERVE_ASSIGN_OR_RETURN(scope->graph.output, scope->Append(name, ConcatNode{}, std::move(rows), width));
  return absl::OkStatus();
}

}  // namespace

SpecialInputs FindSpecialInputs(const OnnxModel& model) {
  static const std::set<std::string> carriers = {"Cast",  "Gather",  "Identity",  "Reshape",  "Slice",
                                                 "Split", "Squeeze", "Transpose", "Unsqueeze"};
  std::map<std::string, const OnnxNode*> source;
  for (const OnnxNode& node : model.nodes) {
    for (const std::string& output : node.outputs) source[output] = &node;
  }
  std::set<std::string> inputs;
  for (const OnnxPort& input : model.inputs) inputs.insert(input.name);
  SpecialInputs special;
  for (const OnnxNode& node : model.nodes) {
    if (node.op != "GRU") continue;
    if (node.has_input(4) && inputs.contains(node.inputs[4])) special.lengths.insert(node.inputs[4]);
    if (!node.has_input(5)) continue;
    std::string name = node.inputs[5];
    for (auto found = source.find(name); found != source.end(); found = source.find(name)) {
      if (!carriers.contains(found->second->op) || !found->second->has_input(0)) break;
      name = found->second->inputs[0];
    }
    if (inputs.contains(name)) special.states.insert(name);
  }
  return special;
}

absl::Status AddInputs(const SpecialInputs& special, std::string_view axes, OnnxScope* scope) {
  scope->has_time = axes.find('T') != std::string_view::npos;
  Symbols symbols;
  bool first = true;
  for (const OnnxPort& port : scope->model.inputs) {
    if (special.states.contains(port.name)) {
      GRUSERVE_RETURN_IF_ERROR(AddState(port, scope));
      continue;
    }
    if (special.lengths.contains(port.name)) continue;
    GRUSERVE_ASSIGN_OR_RETURN(std::vector<int64_t> shape, InputShape(port, axes, symbols));
    for (size_t i = 0; first && i < axes.size(); ++i) {
      if (!port.axes[i].symbol.empty() && IsCallAxis(shape[i])) symbols[port.axes[i].symbol] = shape[i];
    }
    first = false;
    const int64_t width = NumElements(shape);
    scope->graph.inputs.push_back({PrintableName(port.name), width});
    scope->widths.push_back(width);
    scope->values[port.name] = {.kind = OnnxValue::Kind::kRows,
                                .shape = std::move(shape),
                                .constant = nullptr,
                                .rows = static_cast<ValueId>(scope->widths.size()) - 1};
  }
  if (scope->graph.inputs.empty()) return Bad("the graph has no input besides states, expected one");
  return absl::OkStatus();
}

absl::Status AddOutputs(OnnxScope* scope) {
  std::vector<ValueId> rows;
  std::vector<std::string> names;
  std::optional<bool> last_step;
  for (const OnnxPort& port : scope->model.outputs) {
    const OnnxValue& value = scope->values[port.name];
    const std::string what = Named("output", port.name);
    if (value.kind == OnnxValue::Kind::kFinalState) {
      MergeStates(PrintableName(port.name), std::vector<OnnxBlock>(value.blocks), scope);
      continue;
    }
    if (value.kind != OnnxValue::Kind::kRows || value.truncated)
      return Bad(absl::StrCat(what, "is not computed by the network, expected a value of every time step"));
    if (last_step.value_or(value.last_step) != value.last_step)
      return Bad(absl::StrCat(what, "is of ", value.last_step ? "the last" : "every",
                              " time step, another output is not: expected the same of both"));
    last_step = value.last_step;
    rows.push_back(value.rows);
    names.push_back(PrintableName(port.name));
  }
  if (rows.empty()) {
    for (const OnnxPort& port : scope->model.outputs) {
      names = {PrintableName(port.name)};
      rows = OutputsBehind(scope->values[port.name], *scope);
      break;
    }
  }
  if (rows.empty()) return Bad("the graph has no output");
  std::string name = names[0];
  for (size_t i = 1; i < names.size(); ++i) absl::StrAppend(&name, ",", names[i]);
  return SetOutput(std::move(rows), name, scope);
}

}  // namespace gruserve

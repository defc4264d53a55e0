#include "core/network/graph.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 20;
// The largest whole number up to which a float holds every one.
constexpr int64_t kMaxIndexes = int64_t{1} << 24;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckRange(const std::string& what, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return Bad(absl::StrCat(what, " is ", value, ", expected 1 to ", most));
}

absl::Status CheckNumbers(const std::string& what, std::span<const float> numbers, int64_t wanted) {
  if (static_cast<int64_t>(numbers.size()) != wanted)
    return Bad(absl::StrCat(what, " has ", numbers.size(), " values, expected ", wanted));
  for (const float number : numbers) {
    if (!std::isfinite(number)) return Bad(absl::StrCat(what, " holds ", number, ", expected finite values"));
  }
  return absl::OkStatus();
}

enum class Part { kWhole, kUnfinished, kBody };

class GraphChecker {
 public:
  GraphChecker(const Graph& graph, Part part) : graph_(graph), part_(part) {}

  absl::StatusOr<GraphShape> Check() {
    GRUSERVE_RETURN_IF_ERROR(CheckInputs());
    GRUSERVE_RETURN_IF_ERROR(CheckStates());
    for (const GraphNode& node : graph_.nodes) {
      absl::StatusOr<int64_t> width = CheckNode(node);
      if (!width.ok())
        return Bad(absl::StrCat("node \"", node.name, "\": ", std::string(width.status().message())));
      shape_.widths.push_back(*width);
    }
    if (part_ == Part::kUnfinished) return std::move(shape_);
    for (size_t i = 0; i < owned_.size(); ++i) {
      if (owned_[i].size() == static_cast<size_t>(graph_.states[i].blocks)) continue;
      return Bad(absl::StrCat("state \"", graph_.states[i].name, "\" has ", graph_.states[i].blocks,
                              " blocks, ", owned_[i].size(), " of them belong to a node, expected all"));
    }
    if (!is_body() && graph_.states.empty()) return Bad("the network has no GRU, expected at least one");
    GRUSERVE_RETURN_IF_ERROR(CheckValue("output", graph_.output));
    shape_.output_size = width(graph_.output);
    return std::move(shape_);
  }

 private:
  bool is_body() const { return part_ == Part::kBody; }
  int64_t width(ValueId value) const { return shape_.widths[static_cast<size_t>(value)]; }

  absl::Status CheckValue(const std::string& what, ValueId value) const {
    if (value >= 0 && value < static_cast<int64_t>(shape_.widths.size())) return absl::OkStatus();
    return Bad(absl::StrCat(what, " is value ", value, ", expected 0 to ", shape_.widths.size() - 1));
  }

  absl::Status CheckInputs() {
    if (graph_.inputs.empty()) return Bad("the network has no input, expected at least one");
    for (const GraphInput& input : graph_.inputs) {
      GRUSERVE_RETURN_IF_ERROR(
          CheckRange(absl::StrCat("input \"", input.name, "\": width"), input.width, kMaxWidth));
      shape_.widths.push_back(input.width);
      shape_.input_size += input.width;
    }
    return CheckRange("input_size", shape_.input_size, kMaxWidth);
  }

  absl::Status CheckStates() {
    if (is_body() && !graph_.states.empty()) return Bad("has states of its own, expected none");
    std::set<std::string> names;
    for (const GraphState& state : graph_.states) {
      const std::string what = absl::StrCat("state \"", state.name, "\": ");
      if (!names.insert(state.name).second) return Bad(what + "the name comes twice");
      GRUSERVE_RETURN_IF_ERROR(CheckRange(what + "blocks", state.blocks, 4096));
      GRUSERVE_RETURN_IF_ERROR(CheckRange(what + "hidden_size", state.hidden_size, kMaxWidth));
      const int64_t size = state.blocks * state.hidden_size;
      if (!state.initial.empty())
        GRUSERVE_RETURN_IF_ERROR(CheckNumbers(what + "initial", state.initial, size));
      shape_.state_size += size;
    }
    owned_.resize(graph_.states.size());
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> CheckNode(const GraphNode& node) {
    for (const ValueId input : node.inputs) GRUSERVE_RETURN_IF_ERROR(CheckValue("its input", input));
    const bool many = std::holds_alternative<ConcatNode>(node.op);
    const auto* const binary = std::get_if<BinaryNode>(&node.op);
    const size_t wanted = binary != nullptr && binary->constant.empty() ? 2 : 1;
    if (many ? node.inputs.empty() : node.inputs.size() != wanted)
      return Bad(
          absl::StrCat("has ", node.inputs.size(), " inputs, expected ", wanted, many ? " or more" : ""));
    return std::visit([&](const auto& op) { return WidthOf(node, op); }, node.op);
  }

  absl::Status OwnBlocks(int64_t state, int64_t first, int64_t count, int64_t hidden_size) {
    if (is_body()) return Bad("is recurrent, expected row ops only in the body of a cell");
    if (state < 0 || state >= static_cast<int64_t>(graph_.states.size()))
      return Bad(absl::StrCat("has state ", state, ", the network has ", graph_.states.size()));
    const GraphState& owned = graph_.states[static_cast<size_t>(state)];
    if (owned.hidden_size != hidden_size)
      return Bad(absl::StrCat("has hidden_size ", hidden_size, ", its state \"", owned.name, "\" has ",
                              owned.hidden_size));
    if (first < 0 || count > owned.blocks || first > owned.blocks - count)
      return Bad(absl::StrCat("has blocks ", first, " to ", first + count - 1, " of state \"", owned.name,
                              "\", which has ", owned.blocks));
    for (int64_t block = first; block < first + count; ++block) {
      if (owned_[static_cast<size_t>(state)].insert(block).second) continue;
      return Bad(absl::StrCat("has block ", block, " of state \"", owned.name, "\", which another node has"));
    }
    shape_.cells_per_step += count;
    return absl::OkStatus();
  }

  void ForbidSteps(const GraphNode& node, const std::string& why) {
    if (shape_.not_steppable.empty()) shape_.not_steppable = absl::StrCat("node \"", node.name, "\": ", why);
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const GruNode& op) {
    const GruConfig& config = op.network.config;
    GRUSERVE_RETURN_IF_ERROR(CheckRange("hidden_size", config.hidden_size, kMaxWidth));
    GRUSERVE_RETURN_IF_ERROR(CheckRange("num_layers", config.num_layers, 1024));
    GRUSERVE_RETURN_IF_ERROR(CheckRange("num_directions", config.num_directions, 2));
    if (width(node.inputs[0]) != config.input_size)
      return Bad(
          absl::StrCat("its input has ", width(node.inputs[0]), " features, expected ", config.input_size));
    GRUSERVE_RETURN_IF_ERROR(OwnBlocks(op.state, op.first_block, config.state_blocks(), config.hidden_size));
    if (!config.steppable()) ForbidSteps(node, "a bidirectional GRU needs the whole sequence");
    return config.output_size();
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const CellNode& op) {
    if (op.body == nullptr) return Bad("has no body");
    GRUSERVE_ASSIGN_OR_RETURN(const GraphShape body, GraphChecker(*op.body, Part::kBody).Check());
    if (op.body->inputs.size() != 2)
      return Bad(absl::StrCat("its body has ", op.body->inputs.size(), " inputs, expected 2: x and h"));
    if (body.widths[0] != width(node.inputs[0]) || body.widths[1] != body.output_size)
      return Bad(absl::StrCat("its body takes x and h of ", body.widths[0], " and ", body.widths[1],
                              " features and gives ", body.output_size, ", expected ", width(node.inputs[0]),
                              " and twice the same"));
    if (!body.index_features.empty()) return Bad("its body has an embedding, expected none");
    if (!body.not_steppable.empty()) return Bad(absl::StrCat("its body cannot step: ", body.not_steppable));
    GRUSERVE_RETURN_IF_ERROR(OwnBlocks(op.state, op.block, 1, body.output_size));
    return body.output_size;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const DenseNode& op) {
    GRUSERVE_RETURN_IF_ERROR(CheckRange("output_width", op.output_width, kMaxWidth));
    GRUSERVE_RETURN_IF_ERROR(CheckNumbers("weight", op.weight, op.output_width * width(node.inputs[0])));
    if (!op.bias.empty()) GRUSERVE_RETURN_IF_ERROR(CheckNumbers("bias", op.bias, op.output_width));
    return op.output_width;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const UnaryNode& op) {
    GRUSERVE_RETURN_IF_ERROR(CheckNumbers("alpha and beta", {{op.alpha, op.beta}}, 2));
    return width(node.inputs[0]);
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const BinaryNode& op) {
    const int64_t first = width(node.inputs[0]);
    if (op.constant.empty()) {
      const int64_t second = width(node.inputs[1]);
      if (first == second || first == 1 || second == 1) return std::max(first, second);
      return Bad(
          absl::StrCat("its inputs have ", first, " and ", second, " features, expected as many, or 1"));
    }
    GRUSERVE_RETURN_IF_ERROR(CheckNumbers("constant", op.constant, op.constant.size() == 1 ? 1 : first));
    return first;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const LayerNormNode& op) {
    const int64_t features = width(node.inputs[0]);
    if (!(op.epsilon >= 0) || !std::isfinite(op.epsilon))
      return Bad(absl::StrCat("epsilon is ", op.epsilon, ", expected 0 or more"));
    if (!op.scale.empty()) GRUSERVE_RETURN_IF_ERROR(CheckNumbers("scale", op.scale, features));
    if (!op.shift.empty()) GRUSERVE_RETURN_IF_ERROR(CheckNumbers("shift", op.shift, features));
    return features;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const SoftmaxNode&) { return width(node.inputs[0]); }
  absl::StatusOr<int64_t> WidthOf(const GraphNode&, const ReduceNode&) { return 1; }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const ConcatNode&) {
    int64_t sum = 0;
    for (const ValueId input : node.inputs) sum += width(input);
    GRUSERVE_RETURN_IF_ERROR(CheckRange("its width", sum, kMaxWidth));
    return sum;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const SliceNode& op) {
    const int64_t features = width(node.inputs[0]);
    if (op.begin < 0 || op.width < 1 || op.width > features || op.begin > features - op.width)
      return Bad(
          absl::StrCat("takes ", op.width, " features from ", op.begin, " on, its input has ", features));
    return op.width;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const EmbeddingNode& op) {
    GRUSERVE_RETURN_IF_ERROR(CheckRange("rows", op.rows, kMaxIndexes));
    GRUSERVE_RETURN_IF_ERROR(CheckRange("width", op.width, kMaxWidth));
    GRUSERVE_RETURN_IF_ERROR(CheckNumbers("table", op.table, op.rows * op.width));
    GRUSERVE_RETURN_IF_ERROR(AddIndex(node, op.rows));
    return op.width;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const OneHotNode& op) {
    GRUSERVE_RETURN_IF_ERROR(CheckRange("depth", op.depth, kMaxWidth));
    GRUSERVE_RETURN_IF_ERROR(AddIndex(node, op.depth));
    return op.depth;
  }

  absl::StatusOr<int64_t> WidthOf(const GraphNode& node, const ReverseTimeNode&) {
    if (is_body()) return Bad("reverses time, expected row ops only in the body of a cell");
    ForbidSteps(node, "a reversed direction needs the whole sequence");
    return width(node.inputs[0]);
  }

  // Finds the input feature that an index comes from.
  absl::Status AddIndex(const GraphNode& node, int64_t size) {
    const auto inputs = static_cast<ValueId>(graph_.inputs.size());
    ValueId value = node.inputs[0];
    if (width(value) != 1)
      return Bad(absl::StrCat("its input has ", width(value), " features, expected 1: the index"));
    int64_t feature = 0;
    while (value >= inputs) {
      const GraphNode& source = graph_.nodes[static_cast<size_t>(value - inputs)];
      const auto* const slice = std::get_if<SliceNode>(&source.op);
      if (slice == nullptr)
        return Bad(absl::StrCat("its index is computed by node \"", source.name,
                                "\", expected an input of the network, or a slice of one"));
      feature += slice->begin;
      value = source.inputs[0];
    }
    for (ValueId before = 0; before < value; ++before) feature += width(before);
    shape_.index_features.push_back({.feature = feature, .size = size});
    return absl::OkStatus();
  }

  const Graph& graph_;
  const Part part_;
  GraphShape shape_;
  std::vector<std::set<int64_t>> owned_;  // Blocks of each state.
};

}  // namespace

absl::StatusOr<GraphShape> CheckGraph(const Graph& graph) {
  return GraphChecker(graph, Part::kWhole).Check();
}

absl::StatusOr<std::vector<int64_t>> ValueWidths(const Graph& graph) {
  GRUSERVE_ASSIGN_OR_RETURN(GraphShape shape, GraphChecker(graph, Part::kUnfinished).Check());
  return std::move(shape.widths);
}

}  // namespace gruserve

#include "core/network/network.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/gru_primitive.h"

namespace gruserve {
namespace {

struct KindName {
  const char* operator()(const GruNode& op) const {
    return op.network.config.module_kind == ModuleKind::kGruCell ? "GRUCell" : "GRU";
  }
  const char* operator()(const CellNode&) const { return "Cell"; }
  const char* operator()(const DenseNode&) const { return "Linear"; }
  const char* operator()(const UnaryNode&) const { return "Activation"; }
  const char* operator()(const BinaryNode&) const { return "Arithmetic"; }
  const char* operator()(const LayerNormNode&) const { return "LayerNorm"; }
  const char* operator()(const SoftmaxNode& op) const { return op.log ? "LogSoftmax" : "Softmax"; }
  const char* operator()(const ReduceNode&) const { return "Reduce"; }
  const char* operator()(const ConcatNode&) const { return "Concat"; }
  const char* operator()(const SliceNode&) const { return "Slice"; }
  const char* operator()(const EmbeddingNode&) const { return "Embedding"; }
  const char* operator()(const OneHotNode&) const { return "OneHot"; }
  const char* operator()(const ReverseTimeNode&) const { return "ReverseTime"; }
};

bool IsRecurrent(const GraphOp& op) {
  return std::holds_alternative<GruNode>(op) || std::holds_alternative<CellNode>(op) ||
         std::holds_alternative<ReverseTimeNode>(op);
}

// Nodes that the output depends on; recurrent ones always, since they own states.
std::vector<bool> NeededNodes(const Graph& graph) {
  const auto inputs = static_cast<ValueId>(graph.inputs.size());
  std::set<ValueId> needed = {graph.output};
  std::vector<bool> nodes(graph.nodes.size());
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    const GraphNode& node = graph.nodes[i];
    nodes[i] = needed.contains(inputs + static_cast<ValueId>(i)) || IsRecurrent(node.op);
    if (nodes[i]) needed.insert(node.inputs.begin(), node.inputs.end());
  }
  return nodes;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Network>> Network::Create(Graph graph, ComputeDtype dtype) {
  std::shared_ptr<Network> network(new Network);
  network->dtype_ = dtype;
  GRUSERVE_ASSIGN_OR_RETURN(network->shape_, CheckGraph(graph));
  GRUSERVE_RETURN_IF_ERROR(network->Build(std::move(graph)));
  return network;
}

absl::StatusOr<std::shared_ptr<const Network>> Network::Create(GruNetwork gru) {
  GRUSERVE_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, Model::Create(std::move(gru)));
  return Create(std::move(model));
}

std::shared_ptr<const Network> Network::Create(std::shared_ptr<const Model> model) {
  std::shared_ptr<Network> network(new Network);
  const GruConfig& config = model->config();
  network->inputs_ = {{.name = "input", .width = config.input_size}};
  network->output_name_ = "output";
  network->shape_ = {.widths = {config.input_size, config.output_size()},
                     .input_size = config.input_size,
                     .output_size = config.output_size(),
                     .state_size = config.state_size(),
                     .cells_per_step = config.state_blocks(),
                     .not_steppable = config.steppable() ? "" : "it is bidirectional"};
  network->states_ = {{.name = "h_0",
                       .blocks = config.state_blocks(),
                       .hidden_size = config.hidden_size,
                       .module_kind = config.module_kind}};
  network->parameter_count_ = model->parameter_count();
  network->dtype_ = config.compute_dtype;
  network->modules_ = {{.name = "gru",
                        .kind = config.module_kind == ModuleKind::kGruCell ? "GRUCell" : "GRU",
                        .output_size = config.output_size()}};
  network->kernel_fingerprint_ = model->kernel_fingerprint();
  network->output_ = 1;
  NetworkNode node{.kind = NetworkNode::Kind::kGru, .inputs = {0}, .output = 1, .level = 1, .model = model};
  network->nodes_.push_back(std::move(node));
  network->bare_ = std::move(model);
  return network;
}

absl::Status Network::Build(Graph graph) {
  inputs_ = graph.inputs;
  output_name_ = graph.output_name;
  output_ = graph.output;
  parameter_count_ = graph.parameter_count;
  bool all_zero = true;
  for (const GraphState& state : graph.states) {
    states_.push_back({.name = state.name,
                       .blocks = state.blocks,
                       .hidden_size = state.hidden_size,
                       .module_kind = state.module_kind,
                       .offset = static_cast<int64_t>(initial_state_.size())});
    all_zero = all_zero && state.initial.empty();
    initial_state_.insert(initial_state_.end(), state.initial.begin(), state.initial.end());
    initial_state_.resize(static_cast<size_t>(states_.back().offset + state.blocks * state.hidden_size));
  }
  if (all_zero) initial_state_.clear();

  program_ = RowProgram(shape_.widths);
  value_levels_.resize(shape_.widths.size());
  const std::vector<bool> needed = NeededNodes(graph);
  const auto inputs = static_cast<ValueId>(inputs_.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!needed[i]) continue;
    const ValueId output = inputs + static_cast<ValueId>(i);
    Describe(graph.nodes[i], width(output));
    const std::string name = graph.nodes[i].name;
    const absl::Status added = AddNode(std::move(graph.nodes[i]), output);
    if (!added.ok())
      return absl::Status(added.code(), absl::StrCat("node \"", name, "\": ", std::string(added.message())));
  }
  SortIntoLevels();
  FindKeptValues();

  uint64_t hash = program_.HashBatches(0xcbf29ce484222325);
  kernel_fingerprint_ = absl::StrCat(DnnlFingerprint(), " ", Name(dtype_));
  for (const NetworkNode& node : nodes_) {
    if (node.body != nullptr) hash = node.body->HashBatches(hash);
    if (node.model != nullptr)
      absl::StrAppend(&kernel_fingerprint_, " buckets ", node.model->buckets().Fingerprint());
  }
  absl::StrAppend(&kernel_fingerprint_, " rows ", absl::Hex(hash, absl::kZeroPad16));
  if (nodes_.size() == 1 && inputs == 1 && nodes_[0].model != nullptr && output_ == nodes_[0].output)
    bare_ = nodes_[0].model;
  return absl::OkStatus();
}

void Network::Describe(const GraphNode& node, int64_t output_size) {
  NetworkModule module{.name = node.name, .kind = node.kind, .output_size = output_size};
  if (module.kind.empty()) module.kind = std::visit(KindName(), node.op);
  const bool goes_on =
      !modules_.empty() && modules_.back().name == module.name && modules_.back().kind == module.kind;
  if (goes_on) modules_.pop_back();
  modules_.push_back(std::move(module));
}

absl::Status Network::AddNode(GraphNode graph_node, ValueId output) {
  NetworkNode node{.inputs = graph_node.inputs, .output = output};
  for (const ValueId input : node.inputs)
    node.level = std::max(node.level, value_levels_[static_cast<size_t>(input)]);
  const auto offset = [&](int64_t state, int64_t block) {
    const NetworkState& owned = states_[static_cast<size_t>(state)];
    return owned.offset + block * owned.hidden_size;
  };
  if (IsRecurrent(graph_node.op)) ++node.level;
  if (auto* const gru = std::get_if<GruNode>(&graph_node.op)) {
    node.kind = NetworkNode::Kind::kGru;
    node.state_offset = offset(gru->state, gru->first_block);
    gru->network.config.compute_dtype = dtype_;
    GRUSERVE_ASSIGN_OR_RETURN(node.model, Model::Create(std::move(gru->network)));
  } else if (auto* const cell = std::get_if<CellNode>(&graph_node.op)) {
    node.kind = NetworkNode::Kind::kCell;
    node.state_offset = offset(cell->state, cell->block);
    node.body_output = cell->body->output;
    GRUSERVE_ASSIGN_OR_RETURN(std::vector<int64_t> widths, ValueWidths(*cell->body));
    auto body = std::make_unique<RowProgram>(std::move(widths));
    for (size_t i = 0; i < cell->body->nodes.size(); ++i)
      GRUSERVE_RETURN_IF_ERROR(body->Append(cell->body->nodes[i], static_cast<ValueId>(2 + i)));
    node.body = std::move(body);
  } else if (std::holds_alternative<ReverseTimeNode>(graph_node.op)) {
    node.kind = NetworkNode::Kind::kReverseTime;
  } else {
    node.first_instruction = program_.instructions().size();
    GRUSERVE_RETURN_IF_ERROR(program_.Append(graph_node, output));
    node.last_instruction = program_.instructions().size();
  }
  value_levels_[static_cast<size_t>(output)] = node.level;
  nodes_.push_back(std::move(node));
  return absl::OkStatus();
}

void Network::SortIntoLevels() {
  const auto level_of = [this](ValueId value) { return value_levels_[static_cast<size_t>(value)]; };
  levels_.resize(static_cast<size_t>(*std::max_element(value_levels_.begin(), value_levels_.end())) + 1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NetworkNode& node = nodes_[i];
    if (node.kind == NetworkNode::Kind::kRows) {
      NetworkLevel& level = levels_[static_cast<size_t>(node.level)];
      level.rows.push_back(i);
      level.flops_per_row += program_.FlopsPerRow(node.first_instruction, node.last_instruction);
    } else {
      levels_[static_cast<size_t>(node.level) - 1].recurrent.push_back(i);
    }
  }
  // A GRU's output that nobody else reads is written where the caller wants it.
  const auto reads_output = [this](const NetworkNode& node) {
    return std::find(node.inputs.begin(), node.inputs.end(), output_) != node.inputs.end();
  };
  const bool direct = std::none_of(nodes_.begin(), nodes_.end(), reads_output) &&
                      std::any_of(nodes_.begin(), nodes_.end(), [this](const NetworkNode& node) {
                        return node.kind == NetworkNode::Kind::kGru && node.output == output_;
                      });
  if (!direct) levels_[static_cast<size_t>(level_of(output_))].writes_output = true;
}

void Network::FindKeptValues() {
  std::map<ValueId, int64_t> last_use;  // Of values that outlive their level's row ops.
  for (size_t l = 0; l < levels_.size(); ++l) {
    NetworkLevel& level = levels_[l];
    std::set<ValueId> made;
    std::set<ValueId> imports;
    for (const size_t i : level.rows) {
      for (const ValueId input : nodes_[i].inputs) {
        if (!made.contains(input)) imports.insert(input);
      }
      made.insert(nodes_[i].output);
    }
    if (level.writes_output && !made.contains(output_)) imports.insert(output_);
    level.imports.assign(imports.begin(), imports.end());
    for (const size_t i : level.recurrent) imports.insert(nodes_[i].inputs[0]);
    for (const ValueId value : imports) {
      if (!is_input(value)) last_use[value] = static_cast<int64_t>(l);
    }
  }
  for (const NetworkNode& node : nodes_) {
    const auto use = last_use.find(node.output);
    const bool rows = node.kind == NetworkNode::Kind::kRows;
    if (use == last_use.end()) continue;
    kept_values_.push_back(
        {.value = node.output, .first_level = rows ? node.level : node.level - 1, .last_level = use->second});
    if (rows) levels_[static_cast<size_t>(node.level)].exports.push_back(node.output);
  }
}

bool Network::CanGoOnFrom(const Network& other) const {
  return steppable() && other.steppable() && inputs_ == other.inputs_ &&
         index_features() == other.index_features() && output_size() == other.output_size() &&
         states_ == other.states_;
}

int64_t Network::input_offset(ValueId value) const {
  int64_t offset = 0;
  for (ValueId before = 0; before < value; ++before) offset += width(before);
  return offset;
}

}  // namespace gruserve

#include "core/network/import/onnx/onnx_importer.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/constant_folder.h"
#include "core/network/import/onnx/graph_ports.h"
#include "core/network/import/onnx/operators.h"

namespace gruserve {
namespace {

// What an input's first axes may be, the usual ones first.
constexpr std::string_view kArrangements[] = {"TB", "BT", "T", "B", "1B", "T1", "B1", "1T", ""};

OnnxOperator FindOperator(const std::string& op) {
  if (op == "GRU") return LowerGru;
  for (const auto find : {FindConstantOperator, FindMovement, FindArithmetic, FindFeatureOperator}) {
    if (const OnnxOperator found = find(op)) return found;
  }
  return nullptr;
}

std::string Named(const OnnxNode& node) { return absl::StrCat("node \"", node.name, "\" (", node.op, ")"); }

// Nodes that an output depends on.
std::vector<const OnnxNode*> NeededNodes(const OnnxModel& model) {
  std::set<std::string> wanted;
  for (const OnnxPort& output : model.outputs) wanted.insert(output.name);
  std::vector<const OnnxNode*> needed;
  for (auto node = model.nodes.rbegin(); node != model.nodes.rend(); ++node) {
    bool is_needed = false;
    for (const std::string& output : node->outputs) is_needed = is_needed || wanted.contains(output);
    if (!is_needed) continue;
    needed.push_back(&*node);
    wanted.insert(node->inputs.begin(), node->inputs.end());
  }
  std::reverse(needed.begin(), needed.end());
  return needed;
}

absl::Status CheckOperators(const std::vector<const OnnxNode*>& nodes) {
  bool recurrent = false;
  for (const OnnxNode* const node : nodes) {
    recurrent = recurrent || node->op == "GRU";
    if (!node->domain.empty())
      return absl::InvalidArgumentError(absl::StrCat("onnx: ", Named(*node),
                                                     ": is an operator of the domain \"", node->domain,
                                                     "\", expected ONNX's own"));
    if (FindOperator(node->op) == nullptr)
      return absl::InvalidArgumentError(
          absl::StrCat("onnx: ", Named(*node), ": the operator is not supported"));
  }
  if (!recurrent) return absl::InvalidArgumentError("onnx: the graph has no GRU, expected at least one");
  return absl::OkStatus();
}

class Import {
 public:
  Import(const OnnxModel& model, const OnnxImportOptions& options) : scope_(model) {
    scope_.reset_before_confirmed = options.reset_before_confirmed;
    for (const auto& [name, tensor] : model.initializers)
      scope_.values[name] = {.kind = OnnxValue::Kind::kConstant, .shape = tensor->shape, .constant = tensor};
  }

  absl::Status Run(const std::vector<const OnnxNode*>& nodes, const SpecialInputs& special,
                   std::string_view axes) {
    for (const OnnxNode* const node : nodes) {
      for (const std::string& input : node->inputs) ++scope_.uses[input];
      if (node->op == "GRU" && node->has_input(5) && node->IntOr("layout", 0) != 0)
        scope_.batch_first_states = true;
    }
    for (const OnnxPort& output : scope_.model.outputs) ++scope_.uses[output.name];
    GRUSERVE_RETURN_IF_ERROR(AddInputs(special, axes, &scope_));
    for (const OnnxNode* const node : nodes) {
      if (const absl::Status status = FindOperator(node->op)(*node, scope_); !status.ok())
        return absl::Status(status.code(), absl::StrCat(Named(*node), ": ", std::string(status.message())));
      ++progress_;
    }
    scope_.graph.parameter_count = scope_.model.parameter_count;
    return AddOutputs(&scope_);
  }

  // Nodes that went well.
  int64_t progress() const { return progress_; }
  Graph TakeGraph() { return std::move(scope_.graph); }

 private:
  OnnxScope scope_;
  int64_t progress_ = -1;
};

}  // namespace

absl::StatusOr<Graph> ImportOnnx(const OnnxModel& model, const OnnxImportOptions& options) {
  const std::vector<const OnnxNode*> nodes = NeededNodes(model);
  GRUSERVE_RETURN_IF_ERROR(CheckOperators(nodes));
  const SpecialInputs special = FindSpecialInputs(model);
  absl::Status reason;
  int64_t furthest = -2;
  for (const std::string_view axes : kArrangements) {
    Import import(model, options);
    const absl::Status status = import.Run(nodes, special, axes);
    if (status.ok()) {
      Graph graph = import.TakeGraph();
      GRUSERVE_RETURN_IF_ERROR(CheckGraph(graph).status());
      return graph;
    }
    if (import.progress() <= furthest) continue;
    furthest = import.progress();
    reason = absl::Status(status.code(), absl::StrCat("onnx: ", std::string(status.message())));
  }
  return reason;
}

}  // namespace gruserve

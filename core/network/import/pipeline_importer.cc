#include "core/network/import/pipeline_importer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/import/state_dict_importer.h"
#include "core/model/import/tensor_reader.h"

namespace gruserve {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

const std::map<std::string, BinaryFunction>& BinaryTypes() {
  static const auto* const types = new std::map<std::string, BinaryFunction>{{"Add", BinaryFunction::kAdd},
                                                                             {"Sub", BinaryFunction::kSub},
                                                                             {"Mul", BinaryFunction::kMul},
                                                                             {"Div", BinaryFunction::kDiv}};
  return *types;
}

// The function of an activation, with PyTorch's defaults; nothing for another module.
absl::StatusOr<std::optional<UnaryNode>> Activation(const ModuleConfig& module) {
  const auto number = [&module](const char* key, double otherwise) {
    return static_cast<float>(module.get(key, otherwise));
  };
  using F = UnaryFunction;
  const std::string& type = module.type;
  std::optional<UnaryNode> node;
  if (type == "ReLU") node = {.function = F::kLeakyRelu, .alpha = 0};
  if (type == "LeakyReLU") node = {.function = F::kLeakyRelu, .alpha = number("negative_slope", 0.01)};
  if (type == "ELU") node = {.function = F::kElu, .alpha = number("alpha", 1)};
  if (type == "Sigmoid") node = {.function = F::kSigmoid};
  if (type == "Tanh") node = {.function = F::kTanh};
  if (type == "Hardsigmoid") node = {.function = F::kHardSigmoid, .alpha = 1.0F / 6, .beta = 0.5F};
  if (type == "Hardtanh")
    node = {.function = F::kClip, .alpha = number("min_val", -1), .beta = number("max_val", 1)};
  if (type == "ReLU6") node = {.function = F::kClip, .alpha = 0, .beta = 6};
  if (type == "SiLU") node = {.function = F::kSwish, .alpha = 1};
  if (type == "Softplus") node = {.function = F::kSoftplus};
  if (type != "GELU") return node;
  const auto approximate = module.get<std::string>("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    return Bad(R"(approximate is neither "none" nor "tanh")");
  return UnaryNode{.function = approximate == "tanh" ? F::kGeluTanh : F::kGeluErf};
}

class PipelineImporter {
 public:
  PipelineImporter(const ModelConfig& config, const SafetensorsFile& file) : config_(config), file_(file) {}

  absl::StatusOr<Graph> Import() {
    GRUSERVE_RETURN_IF_ERROR(AddInputs());
    for (const ModuleConfig& module : config_.modules) {
      GRUSERVE_RETURN_IF_ERROR(InModule(module, AddModule(module)));
      if (!values_.emplace(module.name, last_).second)
        return Bad(absl::StrCat("model.json: ", module.where, ": the name \"", ShownTensorName(module.name),
                                "\" is taken already, expected another `name`"));
    }
    graph_.output = last_;
    graph_.output_name = config_.modules.back().name;
    if (!config_.output.empty()) {
      const auto found = values_.find(config_.output);
      if (found == values_.end())
        return Bad(absl::StrCat("model.json: output is \"", ShownTensorName(config_.output),
                                "\", which is the name of no module"));
      graph_.output = found->second;
      graph_.output_name = config_.output;
    }
    for (const auto& [name, entry] : file_.entries()) {
      if (!used_.contains(name))
        return Bad(absl::StrCat("tensor ", ShownTensorName(name), " belongs to no module of model.json"));
    }
    return std::move(graph_);
  }

 private:
  static absl::Status InModule(const ModuleConfig& module, const absl::Status& status) {
    if (status.ok()) return status;
    const std::string named =
        module.name == module.where
            ? absl::StrCat(module.where, " (", module.type, ")")
            : absl::StrCat(module.where, " (", module.type, " \"", ShownTensorName(module.name), "\")");
    return absl::Status(status.code(),
                        absl::StrCat("model.json: ", named, ": ", std::string(status.message())));
  }

  absl::Status AddInputs() {
    std::vector<InputConfig> inputs = config_.inputs;
    if (inputs.empty()) {
      const ModuleConfig& first = config_.modules.front();
      const std::optional<int64_t> size = InputSizeOf(first);
      if (!size.has_value())
        return Bad(absl::StrCat("model.json: inputs is missing, and ", first.where, ", a ", first.type,
                                ", does not say how many features come in"));
      inputs.push_back({"input", *size});
    }
    for (InputConfig& input : inputs) {
      if (!values_.emplace(input.name, last_ = static_cast<ValueId>(graph_.inputs.size())).second)
        return Bad(
            absl::StrCat("model.json: inputs has the name \"", ShownTensorName(input.name), "\" twice"));
      widths_.push_back(input.size);
      graph_.inputs.push_back({std::move(input.name), input.size});
    }
    return absl::OkStatus();
  }

  // Features that the first module takes, as its tensors say.
  std::optional<int64_t> InputSizeOf(const ModuleConfig& module) const {
    if (module.type == "Embedding" || module.type == "OneHot") return 1;
    const auto dim = [&](const std::string& tensor, size_t axis) -> std::optional<int64_t> {
      const auto found = file_.entries().find(tensor);
      if (found == file_.entries().end() || found->second.shape.size() != axis + 1) return std::nullopt;
      return found->second.shape[axis];
    };
    const auto prefix = module.get<std::string>("prefix", "");
    if (module.type == "GRU") return dim(prefix + "weight_ih_l0", 1).value_or(1);
    if (module.type == "GRUCell") return dim(prefix + "weight_ih", 1).value_or(1);
    if (module.type == "Linear") return dim(prefix + "weight", 1).value_or(1);
    if (module.type == "LayerNorm" || module.type == "BatchNorm1d") return dim(prefix + "weight", 0);
    for (const char* key : {"mean", "scale"}) {
      if (!module.has(key)) continue;
      const ModuleValue& value = module.values.at(key);
      if (const auto* const numbers = std::get_if<std::vector<double>>(&value))
        return static_cast<int64_t>(numbers->size());
      if (const auto* const tensor = std::get_if<std::string>(&value)) return dim(*tensor, 0);
    }
    return std::nullopt;
  }

  int64_t width(ValueId value) const { return widths_[static_cast<size_t>(value)]; }

  absl::StatusOr<std::vector<ValueId>> InputsOf(const ModuleConfig& module) const {
    const bool binary = BinaryTypes().contains(module.type);
    std::vector<ValueId> inputs;
    if (!module.inputs.has_value()) {
      if (binary || module.type == "Concat") return Bad("inputs is missing, expected names");
      if (&module == &config_.modules.front() && graph_.inputs.size() > 1)
        return Bad("inputs is missing, expected a name, since the model has several inputs");
      return std::vector<ValueId>{last_};
    }
    for (const std::string& name : *module.inputs) {
      const auto found = values_.find(name);
      if (found == values_.end())
        return Bad(absl::StrCat("inputs has \"", ShownTensorName(name),
                                "\", which is the name of no input, and of no module before this one"));
      inputs.push_back(found->second);
    }
    const size_t wanted = binary ? 2 : 1;
    if (module.type != "Concat" && inputs.size() != wanted)
      return Bad(absl::StrCat("inputs has ", inputs.size(), " names, expected ", wanted));
    return inputs;
  }

  void Add(const ModuleConfig& module, GraphOp op, std::vector<ValueId> inputs, int64_t output_width) {
    graph_.nodes.push_back(
        {.name = module.name, .op = std::move(op), .inputs = std::move(inputs), .kind = module.type});
    widths_.push_back(output_width);
    last_ = static_cast<ValueId>(widths_.size()) - 1;
  }

  absl::Status AddModule(const ModuleConfig& module) {
    GRUSERVE_ASSIGN_OR_RETURN(const std::vector<ValueId> inputs, InputsOf(module));
    const ValueId input = inputs.front();
    const int64_t features = width(input);
    GRUSERVE_ASSIGN_OR_RETURN(const std::optional<UnaryNode> activation, Activation(module));
    const std::string& type = module.type;
    if (activation.has_value()) {
      Add(module, *activation, {input}, features);
    } else if (type == "GRU" || type == "GRUCell") {
      return AddGru(module, input);
    } else if (type == "Linear") {
      return AddLinear(module, input);
    } else if (type == "Embedding") {
      return AddEmbedding(module, input);
    } else if (type == "LayerNorm") {
      return AddLayerNorm(module, input);
    } else if (type == "BatchNorm1d") {
      return AddBatchNorm(module, input);
    } else if (type == "Affine") {
      return AddAffine(module, input);
    } else if (type == "Softmax" || type == "LogSoftmax") {
      Add(module, SoftmaxNode{.log = type == "LogSoftmax"}, {input}, features);
    } else if (type == "OneHot") {
      const auto size = static_cast<int64_t>(module.get<double>("size", 0));
      Add(module, OneHotNode{.depth = size}, {input}, size);
    } else if (type == "Slice") {
      const auto begin = static_cast<int64_t>(module.get<double>("begin", 0));
      const auto size = static_cast<int64_t>(module.get<double>("size", 0));
      Add(module, SliceNode{.begin = begin, .width = size}, {input}, size);
    } else if (type == "Concat") {
      int64_t sum = 0;
      for (const ValueId each : inputs) sum += width(each);
      Add(module, ConcatNode{}, inputs, sum);
    } else if (const auto binary = BinaryTypes().find(type); binary != BinaryTypes().end()) {
      Add(module, BinaryNode{.function = binary->second}, inputs, std::max(features, width(inputs[1])));
    } else {
      last_ = input;  // Dropout and Identity do nothing.
    }
    return absl::OkStatus();
  }

  // A tensor of the file; nothing where it is not there.
  const SafetensorsEntry* Find(const std::string& name) const {
    const auto found = file_.entries().find(name);
    return found == file_.entries().end() ? nullptr : &found->second;
  }

  absl::StatusOr<std::vector<float>> Read(const std::string& name, const std::vector<int64_t>& wanted) {
    const SafetensorsEntry* const entry = Find(name);
    if (entry == nullptr) return Bad(absl::StrCat("tensor ", ShownTensorName(name), " is missing"));
    GRUSERVE_ASSIGN_OR_RETURN(std::vector<float> numbers, ReadTensor(file_, name, *entry, wanted));
    if (used_.insert(name).second) graph_.parameter_count += static_cast<int64_t>(numbers.size());
    return numbers;
  }

  // Of a tensor [rows, columns]; one of them may be known.
  absl::StatusOr<int64_t> Rows(const std::string& name) const {
    const SafetensorsEntry* const entry = Find(name);
    if (entry == nullptr) return Bad(absl::StrCat("tensor ", ShownTensorName(name), " is missing"));
    if (entry->shape.size() == 2) return entry->shape[0];
    return Bad(absl::StrCat("tensor ", ShownTensorName(name), " has ", entry->shape.size(),
                            " dimensions, expected 2"));
  }

  absl::Status AddLinear(const ModuleConfig& module, ValueId input) {
    const auto prefix = module.get<std::string>("prefix", "");
    DenseNode node;
    GRUSERVE_ASSIGN_OR_RETURN(node.output_width, Rows(prefix + "weight"));
    GRUSERVE_ASSIGN_OR_RETURN(node.weight, Read(prefix + "weight", {node.output_width, width(input)}));
    if (Find(prefix + "bias") != nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(node.bias, Read(prefix + "bias", {node.output_width}));
    }
    const int64_t output_width = node.output_width;
    Add(module, std::move(node), {input}, output_width);
    return absl::OkStatus();
  }

  absl::Status AddEmbedding(const ModuleConfig& module, ValueId input) {
    const std::string name = module.get<std::string>("prefix", "") + "weight";
    EmbeddingNode node;
    GRUSERVE_ASSIGN_OR_RETURN(node.rows, Rows(name));
    node.width = Find(name)->shape[1];
    GRUSERVE_ASSIGN_OR_RETURN(node.table, Read(name, {node.rows, node.width}));
    const int64_t output_width = node.width;
    Add(module, std::move(node), {input}, output_width);
    return absl::OkStatus();
  }

  absl::Status AddLayerNorm(const ModuleConfig& module, ValueId input) {
    const std::vector<int64_t> wanted = {width(input)};
    LayerNormNode node{.epsilon = static_cast<float>(module.get("eps", 1e-5))};
    if (module.has("prefix")) {
      const auto prefix = module.get<std::string>("prefix", "");
      GRUSERVE_ASSIGN_OR_RETURN(node.scale, Read(prefix + "weight", wanted));
      if (Find(prefix + "bias") != nullptr) {
        GRUSERVE_ASSIGN_OR_RETURN(node.shift, Read(prefix + "bias", wanted));
      }
    }
    Add(module, std::move(node), {input}, width(input));
    return absl::OkStatus();
  }

  // (x - mean) * (weight / sqrt(variance + eps)) + bias
  absl::Status AddBatchNorm(const ModuleConfig& module, ValueId input) {
    const auto prefix = module.get<std::string>("prefix", "");
    const std::vector<int64_t> wanted = {width(input)};
    GRUSERVE_ASSIGN_OR_RETURN(const auto mean, Read(prefix + "running_mean", wanted));
    GRUSERVE_ASSIGN_OR_RETURN(const auto variance, Read(prefix + "running_var", wanted));
    if (Find(prefix + "num_batches_tracked") != nullptr) used_.insert(prefix + "num_batches_tracked");
    std::vector<float> weight(mean.size(), 1);
    std::vector<float> bias(mean.size(), 0);
    if (Find(prefix + "weight") != nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(weight, Read(prefix + "weight", wanted));
      GRUSERVE_ASSIGN_OR_RETURN(bias, Read(prefix + "bias", wanted));
    }
    for (size_t i = 0; i < weight.size(); ++i) {
      weight[i] =
          static_cast<float>(double{weight[i]} / std::sqrt(double{variance[i]} + module.get("eps", 1e-5)));
    }
    AddConstant(module, BinaryFunction::kSub, mean, input);
    AddConstant(module, BinaryFunction::kMul, weight, last_);
    AddConstant(module, BinaryFunction::kAdd, bias, last_);
    return absl::OkStatus();
  }

  void AddConstant(const ModuleConfig& module, BinaryFunction function, const std::vector<float>& constant,
                   ValueId input) {
    Add(module, BinaryNode{.function = function, .constant = constant}, {input}, width(input));
  }

  // Numbers of the file itself or of a tensor: one, or one for each feature.
  absl::StatusOr<std::vector<float>> Constants(const ModuleConfig& module, const char* key,
                                               int64_t features) {
    const ModuleValue& value = module.values.at(key);
    if (const auto* const tensor = std::get_if<std::string>(&value)) return Read(*tensor, {features});
    if (const auto* const number = std::get_if<double>(&value))
      return std::vector<float>{static_cast<float>(*number)};
    const auto& numbers = std::get<std::vector<double>>(value);
    if (static_cast<int64_t>(numbers.size()) != features)
      return Bad(absl::StrCat(key, " has ", numbers.size(), " numbers, expected 1 or ", features));
    return std::vector<float>(numbers.begin(), numbers.end());
  }

  // (x - mean) / scale; inverse: x * scale + mean. In this order, since a mean may be
  // much larger than what is left of x without it.
  absl::Status AddAffine(const ModuleConfig& module, ValueId input) {
    std::vector<float> mean;
    std::vector<float> scale;
    if (module.has("mean")) {
      GRUSERVE_ASSIGN_OR_RETURN(mean, Constants(module, "mean", width(input)));
    }
    if (module.has("scale")) {
      GRUSERVE_ASSIGN_OR_RETURN(scale, Constants(module, "scale", width(input)));
    }
    for (const float each : scale) {
      if (each == 0) return Bad("scale holds 0, expected other numbers");
    }
    last_ = input;
    const bool inverse = module.get("inverse", false);
    if (!mean.empty() && !inverse) AddConstant(module, BinaryFunction::kSub, mean, last_);
    if (!scale.empty())
      AddConstant(module, inverse ? BinaryFunction::kMul : BinaryFunction::kDiv, scale, last_);
    if (!mean.empty() && inverse) AddConstant(module, BinaryFunction::kAdd, mean, last_);
    return absl::OkStatus();
  }

  absl::Status AddGru(const ModuleConfig& module, ValueId input) {
    const CellKind kind =
        module.get("linear_before_reset", true) ? CellKind::kLinearBeforeReset : CellKind::kResetBefore;
    std::set<std::string> tensors;
    GruNode node;
    GRUSERVE_ASSIGN_OR_RETURN(node.network,
                              ImportGru(file_, module.get<std::string>("prefix", ""), kind, &tensors));
    const GruConfig config = node.network.config;
    if ((config.module_kind == ModuleKind::kGruCell) != (module.type == "GRUCell"))
      return Bad(absl::StrCat("its tensors are those of a ",
                              config.module_kind == ModuleKind::kGruCell ? "GRUCell" : "GRU"));
    if (config.input_size != width(input))
      return Bad(absl::StrCat("its tensors say input_size ", config.input_size, ", its input has ",
                              width(input), " features"));
    bool fresh = false;
    for (const std::string& name : tensors) fresh = used_.insert(name).second || fresh;
    if (fresh) graph_.parameter_count += node.network.parameter_count;
    GraphState state{.name = module.name,
                     .blocks = config.state_blocks(),
                     .hidden_size = config.hidden_size,
                     .module_kind = config.module_kind};
    if (module.has("initial_state")) {
      const auto name = module.get<std::string>("initial_state", "");
      GRUSERVE_ASSIGN_OR_RETURN(state.initial, ReadInitial(name, config));
    }
    node.state = static_cast<int64_t>(graph_.states.size());
    graph_.states.push_back(std::move(state));
    Add(module, std::move(node), {input}, config.output_size());
    return absl::OkStatus();
  }

  // [blocks, 1, H] as a parameter for h_0 mostly is, or without the 1; of a GRUCell [H].
  absl::StatusOr<std::vector<float>> ReadInitial(const std::string& name, const GruConfig& config) {
    const SafetensorsEntry* const entry = Find(name);
    std::vector<int64_t> wanted = {config.state_blocks(), config.hidden_size};
    if (entry != nullptr && entry->shape.size() == 3) wanted.insert(wanted.begin() + 1, 1);
    if (entry != nullptr && entry->shape.size() == 1 && config.state_blocks() == 1)
      wanted.erase(wanted.begin());
    return Read(name, wanted);
  }

  const ModelConfig& config_;
  const SafetensorsFile& file_;
  Graph graph_;
  std::vector<int64_t> widths_;  // Of every value.
  std::map<std::string, ValueId> values_;
  std::set<std::string> used_;  // Tensors.
  ValueId last_ = 0;
};

}  // namespace

absl::StatusOr<Graph> ImportPipeline(const ModelConfig& config, const SafetensorsFile& file) {
  return PipelineImporter(config, file).Import();
}

}  // namespace gruserve

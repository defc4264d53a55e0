// `gruserve describe MODEL`: what a model is.

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

struct Arguments {
  ModelSpec model;
  bool json = false;
};

// The parts of a network, in place of what describes a GRU alone.
void AddParts(const ModelDescription& model, nlohmann::ordered_json* json) {
  if (!model.not_steppable.empty()) (*json)["not_steppable"] = model.not_steppable;
  if (model.hidden_size != 0) return;
  for (const char* key : {"module", "cell", "hidden_size", "num_layers", "num_directions", "bias"})
    json->erase(key);
  for (const ModelInput& input : model.inputs) (*json)["inputs"][input.name] = input.size;
  for (const ModelModule& module : model.modules)
    (*json)["modules"].push_back(absl::StrCat(module.name, ": ", module.kind, " -> ", module.output_size));
  for (const ModelStateSpec& state : model.states) (*json)["states"][state.name] = state.shape;
}

nlohmann::ordered_json ToJson(const ModelDescription& model) {
  nlohmann::ordered_json json = {{"name", model.summary.name},
                                 {"version", model.summary.version},
                                 {"state", Name(model.summary.state)},
                                 {"module", Name(model.module_kind)},
                                 {"cell", Name(model.cell_kind)},
                                 {"compute_dtype", Name(model.summary.compute_dtype)},
                                 {"input_size", model.input_size},
                                 {"hidden_size", model.hidden_size},
                                 {"num_layers", model.num_layers},
                                 {"num_directions", model.num_directions},
                                 {"bias", model.bias},
                                 {"output_size", model.output_size},
                                 {"steppable", model.steppable},
                                 {"parameter_count", model.parameter_count},
                                 {"state_bytes_per_row", model.state_bytes_per_row},
                                 {"gru_cells_per_step", model.gru_cells_per_step},
                                 {"weights_sha256", model.weights_sha256},
                                 {"kernel_fingerprint", model.kernel_fingerprint}};
  AddParts(model, &json);
  return json;
}

absl::Status RunDescribe(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const ModelDescription model, client.GetModel(arguments.model));
  const nlohmann::ordered_json json = ToJson(model);
  if (arguments.json) {
    *context.io.out << json.dump() << "\n";
    return absl::OkStatus();
  }
  for (const auto& [key, value] : json.items()) {
    *context.io.out << absl::StrFormat("%-20s %s\n", key,
                                       value.is_string() ? value.get<std::string>() : value.dump());
  }
  return absl::OkStatus();
}

}  // namespace

void AddDescribeCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      AddCommand(app, context, "describe", "Describe a model: shapes, layers, sizes, hashes",
                 "  gruserve describe demo\n"
                 "  gruserve describe demo --model-version 2 --json",
                 [context, arguments] { return RunDescribe(*context, *arguments); });
  AddModelArguments(command, &arguments->model);
  command->add_flag("--json", arguments->json, "As one JSON object");
}

}  // namespace gruserve::client

// `gruserve models`: what the server's repository holds, and changing it.

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

void PrintTable(const std::vector<ModelSummary>& models, std::ostream* out) {
  size_t width = 4;
  for (const ModelSummary& model : models) width = std::max(width, model.name.size());
  *out << absl::StrFormat("%-*s  %7s  %-5s  %s\n", static_cast<int>(width), "NAME", "VERSION", "DTYPE",
                          "STATE");
  for (const ModelSummary& model : models) {
    *out << absl::StrFormat("%-*s  %7d  %-5s  %s%s%s\n", static_cast<int>(width), model.name, model.version,
                            Name(model.compute_dtype), Name(model.state),
                            model.labels.empty() ? "" : " (" + absl::StrJoin(model.labels, ", ") + ")",
                            model.reason.empty() ? "" : ": " + model.reason);
  }
}

void PrintJson(const std::vector<ModelSummary>& models, std::ostream* out) {
  nlohmann::json list = nlohmann::json::array();
  for (const ModelSummary& model : models) {
    list.push_back({{"name", model.name},
                    {"version", model.version},
                    {"compute_dtype", Name(model.compute_dtype)},
                    {"state", Name(model.state)},
                    {"reason", model.reason},
                    {"labels", model.labels}});
  }
  *out << list.dump() << "\n";
}

struct Arguments {
  ModelSpec model;
  bool json = false;
};

// Calls the server, and prints the versions that it answers.
template <typename CallServer>
absl::Status Run(const CommandContext& context, const Arguments& arguments, CallServer call_server) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<ModelSummary> models, call_server(client));
  if (arguments.json) {
    PrintJson(models, context.io.out);
  } else {
    PrintTable(models, context.io.out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddModelsCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const models =
      AddCommand(app, context, "models", "List the models, failed ones too; load or unload",
                 "  gruserve models\n"
                 "  gruserve --server 10.0.0.5:50051 models --json\n"
                 "  gruserve models load demo\n"
                 "  gruserve models unload demo --model-version 3",
                 [] { return absl::OkStatus(); });
  models->callback([context, arguments, models] {
    if (!models->get_subcommands().empty()) return;
    context->outcome = Run(*context, *arguments, [](const Client& client) { return client.ListModels(); });
  });
  CLI::App* const load = AddCommand(
      models, context, "load", "Load what is new or changed of a model, in mode explicit",
      "  gruserve models load demo", [context, arguments] {
        return Run(*context, *arguments,
                   [&arguments](const Client& client) { return client.LoadModel(arguments->model); });
      });
  CLI::App* const unload = AddCommand(
      models, context, "unload", "Unload a model, or a version of it, in mode explicit",
      "  gruserve models unload demo --model-version 3", [context, arguments] {
        return Run(*context, *arguments,
                   [&arguments](const Client& client) { return client.UnloadModel(arguments->model); });
      });
  for (CLI::App* command : {load, unload}) {
    command->add_option("MODEL", arguments->model.name, "The model's name")->required();
    command->add_option("--model-version", arguments->model.version, "Its version; 0 is all of them")
        ->capture_default_str();
  }
  for (CLI::App* command : {models, load, unload}) {
    command->add_flag("--json", arguments->json,
                      R"(A list of {"name", "version", "compute_dtype", "state", "reason", "labels"})");
  }
}

}  // namespace gruserve::client

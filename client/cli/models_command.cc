// `gruserve models`: what the server's repository holds.

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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
    *out << absl::StrFormat("%-*s  %7d  %-5s  %s%s\n", static_cast<int>(width), model.name, model.version,
                            Name(model.compute_dtype), Name(model.state),
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
                    {"reason", model.reason}});
  }
  *out << list.dump() << "\n";
}

absl::Status RunModels(const CommandContext& context, bool json) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<ModelSummary> models, client.ListModels());
  if (json) {
    PrintJson(models, context.io.out);
  } else {
    PrintTable(models, context.io.out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddModelsCommand(CLI::App* app, CommandContext* context) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* const command = AddCommand(app, context, "models", "List the models, failed ones too",
                                       "  gruserve models\n"
                                       "  gruserve --server 10.0.0.5:50051 models --json",
                                       [context, json] { return RunModels(*context, *json); });
  command->add_flag("--json", *json, R"(A list of {"name", "version", "compute_dtype", "state", "reason"})");
}

}  // namespace gruserve::client

#include "client/cli/command.h"

#include <utility>

#include "absl/strings/cord.h"

namespace gruserve::client {
namespace {

constexpr char kUsagePayload[] = "gruserve/usage";

}  // namespace

absl::StatusOr<Client> CommandContext::Connect() const {
  ConnectOptions options;
  options.call_timeout = timeout();
  return Client::Connect(server, options);
}

absl::Status UsageError(const std::string& message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsagePayload).has_value(); }

CLI::App* AddCommand(CLI::App* app, CommandContext* context, const std::string& name,
                     const std::string& description, const std::string& examples,
                     std::function<absl::Status()> run) {
  CLI::App* const command = app->add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  command->fallthrough();
  command->callback([context, run = std::move(run)] { context->outcome = run(); });
  return command;
}

void AddModelArguments(CLI::App* command, ModelSpec* model) {
  command->add_option("MODEL", model->name, "The model's name")->required();
  command->add_option("--model-version", model->version, "Its version; 0 is the highest that is ready")
      ->capture_default_str();
  command->add_option("--model-label", model->label, "In place of a version: its label, such as stable");
}

}  // namespace gruserve::client

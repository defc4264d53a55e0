// `gruserve health`: whether the server, or one of its models, serves.

#include <algorithm>
#include <memory>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

// A probe wants an answer soon, whatever --timeout leaves open.
constexpr absl::Duration kProbeTimeout = absl::Seconds(5);

absl::Status RunHealth(const CommandContext& context, const std::string& service) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const HealthStatus health,
                            client.Health(service, {.timeout = std::min(context.timeout(), kProbeTimeout)}));
  if (health != HealthStatus::kServing) {
    return absl::UnavailableError(absl::StrCat(
        "\"", service, "\" is ", health == HealthStatus::kNotServing ? "NOT_SERVING" : "UNKNOWN"));
  }
  *context.io.out << "SERVING\n";
  return absl::OkStatus();
}

}  // namespace

void AddHealthCommand(CLI::App* app, CommandContext* context) {
  const auto service = std::make_shared<std::string>();
  CLI::App* const command = AddCommand(app, context, "health", "Exit 0 if the server serves, 1 if not",
                                       "  gruserve health\n"
                                       "  gruserve health model/demo\n"
                                       "  gruserve health gruserve.v1.InferenceService",
                                       [context, service] { return RunHealth(*context, *service); });
  command->add_option("SERVICE", *service, "What to ask for; the server as a whole where absent");
}

}  // namespace gruserve::client

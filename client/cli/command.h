// What every subcommand shares: the options that stand before it, the streams,
// and how it says that the user is at fault.
//
// An Add...Command adds its options and examples to the app; after a successful
// parse CLI11 calls back into it, and its outcome is left in the context.

#ifndef GRUSERVE_CLIENT_CLI_COMMAND_H_
#define GRUSERVE_CLIENT_CLI_COMMAND_H_

#include <CLI/App.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/cli.h"
#include "client/client.h"

namespace gruserve::client {

struct CommandContext {
  CliIo io;
  std::string server = "127.0.0.1:50051";
  double timeout_s = 0;  // 0: none.
  absl::Status outcome;

  absl::Duration timeout() const {
    return timeout_s > 0 ? absl::Seconds(timeout_s) : absl::InfiniteDuration();
  }
  // A client of `server`.
  absl::StatusOr<Client> Connect() const;
};

// A mistake of the user's, not of the call: exit code 2.
absl::Status UsageError(const std::string& message);
bool IsUsageError(const absl::Status& status);

// A subcommand of `app` whose `run` sets the context's outcome.
CLI::App* AddCommand(CLI::App* app, CommandContext* context, const std::string& name,
                     const std::string& description, const std::string& examples,
                     std::function<absl::Status()> run);

// The model that a subcommand names: its MODEL argument, --model-version or --model-label.
void AddModelArguments(CLI::App* command, ModelSpec* model);

void AddModelsCommand(CLI::App* app, CommandContext* context);
void AddDescribeCommand(CLI::App* app, CommandContext* context);
void AddInferCommand(CLI::App* app, CommandContext* context);
void AddCellCommand(CLI::App* app, CommandContext* context);
void AddStreamCommand(CLI::App* app, CommandContext* context);
void AddSessionsCommand(CLI::App* app, CommandContext* context);
void AddHealthCommand(CLI::App* app, CommandContext* context);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_COMMAND_H_

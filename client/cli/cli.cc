#include "client/cli/cli.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/command.h"

namespace gruserve::client {
namespace {

constexpr int kOk = 0;
constexpr int kCallFailed = 1;
constexpr int kUsage = 2;

// One line, whatever the message holds.
void PrintFailure(const std::string& message, const CliIo& io) {
  *io.err << "gruserve: " << absl::StrReplaceAll(message, {{"\n", " "}, {"\r", " "}}) << "\n";
}

void AddGlobalOptions(CLI::App* app, CommandContext* context) {
  app->add_option("--server", context->server, "The server's HOST:PORT")
      ->envname("GRUSERVE_SERVER")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app->add_option("--timeout", context->timeout_s, "Seconds that a call may take; 0: no limit")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app->set_version_flag("--version", "gruserve " GRUSERVE_VERSION);
  app->require_subcommand(1);
  app->footer(
      "Arrays are .npy files (float32 or float64), time-major, or .csv files of one line a step.\n"
      "Exit codes: 0 ok, 1 the call failed, 2 usage or an unreadable file.\n"
      "`gruserve COMMAND --help` has examples.");
}

int ReportParseError(const CLI::App& app, const CLI::ParseError& error, const CliIo& io) {
  // Help and version are told as errors of code 0.
  if (error.get_exit_code() == 0) return app.exit(error, *io.out, *io.err);
  const auto chosen = app.get_subcommands();
  const std::string command = chosen.empty() ? "gruserve" : "gruserve " + chosen.front()->get_name();
  const std::vector<std::string> unknown = app.remaining();
  const std::string what = chosen.empty() && !unknown.empty()
                               ? "\"" + unknown.front() + "\" is no command or option"
                               : error.what();
  PrintFailure(absl::StrCat(what, " (see ", command, " --help)"), io);
  return kUsage;
}

}  // namespace

int RunCli(const std::vector<std::string>& args, const CliIo& io) {
  CLI::App app("Calls a gruserve server: GRU models, whole sequences or step by step.", "gruserve");
  CommandContext context;
  context.io = io;
  AddGlobalOptions(&app, &context);
  AddModelsCommand(&app, &context);
  AddDescribeCommand(&app, &context);
  AddInferCommand(&app, &context);
  AddStreamCommand(&app, &context);
  AddCellCommand(&app, &context);
  AddSessionsCommand(&app, &context);
  AddHealthCommand(&app, &context);
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::ParseError& error) {  // CLI11 knows no other way.
    return ReportParseError(app, error, io);
  }
  io.out->flush();
  if (context.outcome.ok()) return kOk;
  if (IsUsageError(context.outcome)) {
    PrintFailure(std::string(context.outcome.message()), io);
    return kUsage;
  }
  PrintFailure(absl::StrCat(absl::StatusCodeToString(context.outcome.code()), ": ", context.outcome.message(),
                            absl::IsUnavailable(context.outcome) ? " (server " + context.server + ")" : ""),
               io);
  return kCallFailed;
}

}  // namespace gruserve::client

// `gruserve sessions`: what the server keeps, and taking it away.

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/array_file.h"
#include "client/cli/command.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

struct Arguments {
  std::string id;
  std::string model;
  std::string state;
  bool json = false;
};

nlohmann::ordered_json ToJson(const SessionInfo& info) {
  return {{"session_id", info.session_id},
          {"model", info.model.name},
          {"version", info.model.version},
          {"batch_size", info.batch_size},
          {"next_step", info.next_step},
          {"durable_step", info.durable_step},
          {"epoch", info.epoch},
          {"attached", info.attached},
          {"max_inflight", info.max_inflight},
          {"memory_bytes", info.memory_bytes},
          {"idle_ms", absl::ToInt64Milliseconds(info.idle)}};
}

void Print(const SessionInfo& info, bool json, std::ostream* out) {
  const nlohmann::ordered_json values = ToJson(info);
  if (json) {
    *out << values.dump() << "\n";
    return;
  }
  for (const auto& [key, value] : values.items()) {
    *out << absl::StrFormat("%-14s %s\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
}

absl::Status RunList(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<SessionInfo> sessions, client.ListSessions(arguments.model));
  std::ostream& out = *context.io.out;
  if (arguments.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const SessionInfo& info : sessions) list.push_back(ToJson(info));
    out << list.dump() << "\n";
    return absl::OkStatus();
  }
  out << absl::StrFormat("%-34s  %-20s  %9s  %8s  %s\n", "SESSION", "MODEL", "NEXT STEP", "IDLE", "STREAM");
  for (const SessionInfo& info : sessions) {
    out << absl::StrFormat("%-34s  %-20s  %9d  %7.1fs  %s\n", info.session_id,
                           absl::StrCat(info.model.name, "/", info.model.version), info.next_step,
                           absl::ToDoubleSeconds(info.idle), info.attached ? "attached" : "detached");
  }
  return absl::OkStatus();
}

absl::Status RunGet(const CommandContext& context, const Arguments& arguments) {
  if (!arguments.state.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments.state));
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionSnapshot snapshot,
                            client.GetSession(arguments.id, !arguments.state.empty()));
  // A state on stdout stands there alone, for a pipe.
  if (arguments.state != "-") Print(snapshot.info, arguments.json, context.io.out);
  if (arguments.state.empty()) return absl::OkStatus();
  if (!snapshot.state) return absl::InternalError("the server sent no state");
  return WriteArray(arguments.state, *snapshot.state, context.io);
}

absl::Status RunClose(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionInfo info, client.CloseSession(arguments.id));
  if (arguments.json) Print(info, true, context.io.out);
  return absl::OkStatus();
}

}  // namespace

void AddSessionsCommand(CLI::App* app, CommandContext* context) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const sessions = AddCommand(app, context, "sessions", "List, look at or close sessions",
                                        "  gruserve sessions list --model demo\n"
                                        "  gruserve sessions get pump-7 --state h.npy\n"
                                        "  gruserve sessions close pump-7",
                                        [context] { return context->outcome; });
  sessions->require_subcommand(1);
  CLI::App* const list =
      AddCommand(sessions, context, "list", "List the live sessions", "  gruserve sessions list --json",
                 [context, arguments] { return RunList(*context, *arguments); });
  list->add_option("--model", arguments->model, "Only sessions of this model");
  CLI::App* const get = AddCommand(sessions, context, "get", "Describe a session",
                                   "  gruserve sessions get pump-7 --state h.npy",
                                   [context, arguments] { return RunGet(*context, *arguments); });
  get->add_option("ID", arguments->id, "The session's id")->required();
  get->add_option("--state", arguments->state, "Where its hidden state goes; - is stdout");
  CLI::App* const close = AddCommand(sessions, context, "close", "Close a session and free its state",
                                     "  gruserve sessions close pump-7",
                                     [context, arguments] { return RunClose(*context, *arguments); });
  close->add_option("ID", arguments->id, "The session's id")->required();
  for (CLI::App* command : {list, get, close}) command->add_flag("--json", arguments->json, "As JSON");
}

}  // namespace gruserve::client

// `gruserve sessions`: what the server keeps, copies of it, and taking it away.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/array_file.h"
#include "client/cli/byte_file.h"
#include "client/cli/command.h"
#include "client/cli/session_text.h"
#include "client/cli/session_watch.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

struct Arguments {
  std::string id;
  std::string model;
  std::string state;
  std::string file;
  std::string new_id;
  ModelSpec with;
  int count = 1;
  std::vector<std::string> fork_ids;
  double interval_s = 1;
  int64_t rounds = 0;
  size_t top = 20;
  bool json = false;
};

absl::Status RunList(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<SessionInfo> sessions, client.ListSessions(arguments.model));
  PrintSessions(sessions, arguments.json, context.io.out);
  return absl::OkStatus();
}

absl::Status RunWatch(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  SessionWatch watch;
  const absl::Notification never;  // Ctrl-C ends it.
  absl::Time last = absl::Now();
  for (int64_t round = 0; arguments.rounds == 0 || round < arguments.rounds; ++round) {
    if (round > 0) never.WaitForNotificationWithTimeout(absl::Seconds(arguments.interval_s));
    GRUSERVE_ASSIGN_OR_RETURN(const std::vector<SessionInfo> sessions, client.ListSessions(arguments.model));
    const absl::Time now = absl::Now();
    watch.Print(sessions, now - std::exchange(last, now), arguments.top, context.io.out);
  }
  return absl::OkStatus();
}

absl::Status RunGet(const CommandContext& context, const Arguments& arguments) {
  if (!arguments.state.empty()) GRUSERVE_RETURN_IF_ERROR(CheckWritable(arguments.state));
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionSnapshot snapshot,
                            client.GetSession(arguments.id, !arguments.state.empty()));
  // A state on stdout stands there alone, for a pipe.
  if (arguments.state != "-") PrintObject(ToJson(snapshot.info), arguments.json, context.io.out);
  if (arguments.state.empty()) return absl::OkStatus();
  if (!snapshot.state) return absl::InternalError("the server sent no state");
  return WriteArray(arguments.state, *snapshot.state, context.io);
}

// What a state looks like: one that grows, or is not finite, shows here.
nlohmann::ordered_json Summary(const Tensor& state) {
  double squares = 0;
  float largest = 0;
  int64_t not_finite = 0;
  for (const float value : state.values) {
    if (!std::isfinite(value)) {
      ++not_finite;
      continue;
    }
    squares += static_cast<double>(value) * static_cast<double>(value);
    largest = std::max(largest, std::fabs(value));
  }
  return {
      {"shape", state.shape}, {"norm", std::sqrt(squares)}, {"largest", largest}, {"not_finite", not_finite}};
}

absl::Status RunDescribe(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionSnapshot snapshot, client.GetSession(arguments.id, true));
  nlohmann::ordered_json values = ToJson(snapshot.info);
  if (snapshot.state) values["state"] = Summary(*snapshot.state);
  for (const NamedTensor& state : snapshot.states) values["state " + state.name] = Summary(state.tensor);
  PrintObject(values, arguments.json, context.io.out);
  return absl::OkStatus();
}

absl::Status RunClose(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionInfo info, client.CloseSession(arguments.id));
  if (arguments.json) PrintObject(ToJson(info), true, context.io.out);
  return absl::OkStatus();
}

absl::Status RunEvict(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionInfo info, client.EvictSession(arguments.id));
  if (arguments.json) PrintObject(ToJson(info), true, context.io.out);
  return absl::OkStatus();
}

absl::Status RunExport(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  GRUSERVE_ASSIGN_OR_RETURN(const SessionExport exported, client.ExportSession(arguments.id));
  GRUSERVE_RETURN_IF_ERROR(WriteBytes(arguments.file, exported.checkpoint, context.io));
  if (arguments.json) PrintObject(ToJson(exported.info), true, context.io.out);
  return absl::OkStatus();
}

absl::Status RunImport(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const std::string bytes, ReadBytes(arguments.file, context.io));
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  ImportOptions options;
  options.session_id = arguments.new_id;
  if (!arguments.with.name.empty()) options.model = arguments.with;
  GRUSERVE_ASSIGN_OR_RETURN(const SessionInfo info, client.ImportSession(bytes, options));
  PrintObject(ToJson(info), arguments.json, context.io.out);
  return absl::OkStatus();
}

absl::Status RunFork(const CommandContext& context, const Arguments& arguments) {
  GRUSERVE_ASSIGN_OR_RETURN(const Client client, context.Connect());
  ForkOptions options;
  options.count = arguments.fork_ids.empty() ? arguments.count : static_cast<int>(arguments.fork_ids.size());
  options.fork_ids = arguments.fork_ids;
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<SessionInfo> forks, client.ForkSession(arguments.id, options));
  PrintSessions(forks, arguments.json, context.io.out);
  return absl::OkStatus();
}

using Run = absl::Status (*)(const CommandContext&, const Arguments&);

// Adds the subcommands, which all share `arguments`.
class SessionsCommand {
 public:
  SessionsCommand(CLI::App* sessions, CommandContext* context)
      : sessions_(sessions), context_(context), arguments_(std::make_shared<Arguments>()) {}

  void AddLooks() {
    CLI::App* const list = Add("list", "List the live sessions", "list --json", RunList);
    CLI::App* const watch = Add("watch", "Show the sessions that step most, again and again, until Ctrl-C",
                                "watch --interval 0.5 --top 10", RunWatch, /*json=*/false);
    for (CLI::App* command : {list, watch})
      command->add_option("--model", arguments_->model, "Only sessions of this model");
    watch->add_option("--interval", arguments_->interval_s, "Seconds between two looks")
        ->check(CLI::Range(0.01, 3600.0))
        ->capture_default_str();
    watch->add_option("--rounds", arguments_->rounds, "Looks before it ends; 0: until Ctrl-C")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    watch->add_option("--top", arguments_->top, "Sessions shown")->capture_default_str();
    CLI::App* const get = AddOne("get", "Say where a session stands", "get pump-7 --state h.npy", RunGet);
    get->add_option("--state", arguments_->state, "Where its hidden state goes; - is stdout");
    AddOne("describe", "Say where a session stands, and what its hidden state looks like", "describe pump-7",
           RunDescribe);
  }

  void AddEnds() {
    AddOne("close", "Close a session and free its state, also what is stored", "close pump-7", RunClose);
    AddOne("evict", "Drop an idle session from memory; what is stored of it stays", "evict pump-7", RunEvict);
  }

  void AddCopies() {
    CLI::App* const taken = AddOne("export", "Copy a session, between two steps, to a file",
                                   "export pump-7 pump-7.ckpt", RunExport);
    taken->add_option("FILE", arguments_->file, "Where its checkpoint goes; - is stdout")->required();
    CLI::App* const given =
        Add("import", "Open a session that goes on from a file, here or with another version",
            "import pump-7.ckpt --id pump-7b --model pump --model-version 2", RunImport);
    given->add_option("FILE", arguments_->file, "From `sessions export`; - is stdin")->required();
    given->add_option("--id", arguments_->new_id, "Its id; minted by the server if not given");
    given->add_option("--model", arguments_->with.name,
                      "The model to go on with, of the same state shapes; else the exported one");
    given->add_option("--model-version", arguments_->with.version, "Of that model; the newest if not given");
    CLI::App* const fork = AddOne("fork", "Open sessions that go on where one stands, between two steps",
                                  "fork pump-7 --count 3", RunFork);
    fork->add_option("--count", arguments_->count, "How many, 1 to 64")->capture_default_str();
    fork->add_option("--ids", arguments_->fork_ids, "Their ids, with commas; minted if not given")
        ->delimiter(',');
  }

 private:
  CLI::App* Add(const std::string& name, const std::string& what, const std::string& example, Run run,
                bool json = true) {
    CLI::App* const command =
        AddCommand(sessions_, context_, name, what, "  gruserve sessions " + example,
                   [run, context = context_, arguments = arguments_] { return run(*context, *arguments); });
    if (json) command->add_flag("--json", arguments_->json, "As JSON");
    return command;
  }
  CLI::App* AddOne(const std::string& name, const std::string& what, const std::string& example, Run run) {
    CLI::App* const command = Add(name, what, example, run);
    command->add_option("ID", arguments_->id, "The session's id")->required();
    return command;
  }

  CLI::App* const sessions_;
  CommandContext* const context_;
  const std::shared_ptr<Arguments> arguments_;
};

}  // namespace

void AddSessionsCommand(CLI::App* app, CommandContext* context) {
  CLI::App* const sessions = AddCommand(app, context, "sessions", "List, watch, copy or close sessions",
                                        "  gruserve sessions list --model demo\n"
                                        "  gruserve sessions describe pump-7\n"
                                        "  gruserve sessions export pump-7 pump-7.ckpt\n"
                                        "  gruserve sessions fork pump-7 --count 3\n"
                                        "  gruserve sessions close pump-7",
                                        [context] { return context->outcome; });
  sessions->require_subcommand(1);
  SessionsCommand commands(sessions, context);
  commands.AddLooks();
  commands.AddEnds();
  commands.AddCopies();
}

}  // namespace gruserve::client

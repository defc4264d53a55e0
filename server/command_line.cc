#include "server/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/message_text.h"
#include "server/yaml_config.h"

namespace gruserve::server {
namespace {

constexpr int kUsageError = 2;
constexpr char kFooter[] = R"(
Each option may also come from the environment, as GRUSERVE_ and its name in
capitals (GRUSERVE_SESSION_GRACE=10s), or from the YAML file of --config
(session-grace: 10s). A flag wins over the environment, which wins over the file.

Examples:
  gruserve-server --repository models
  gruserve-server --repository models --listen 0.0.0.0:50051 --insecure --log-format json
  gruserve-server --repository models --listen 127.0.0.1:0 --port-file port.txt
  gruserve-server --config server.yaml --print-config)";

std::string EnvironmentName(std::string option) {
  std::replace(option.begin(), option.end(), '-', '_');
  std::transform(option.begin(), option.end(), option.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
  return "GRUSERVE_" + option;
}

std::string DurationText(absl::Duration value) { return absl::FormatDuration(value); }

// Adds options to the app, all in one way.
class OptionList {
 public:
  explicit OptionList(CLI::App* app) : app_(app) {}

  template <typename Value>
  CLI::Option* Add(const std::string& name, Value& value, const std::string& help) {
    return app_->add_option("--" + name, value, help)->capture_default_str()->envname(EnvironmentName(name));
  }

  // Bytes, with an optional unit such as MiB.
  void AddBytes(const std::string& name, int64_t& value, const std::string& help) {
    Add(name, value, help)->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))->type_name("BYTES");
  }

  // A time with its unit. Zero means `zero`.
  void AddDuration(const std::string& name, absl::Duration& value, const std::string& help,
                   absl::Duration zero = absl::ZeroDuration()) {
    app_->add_option_function<std::string>(
            "--" + name,
            [&value, name, zero](const std::string& text) {
              if (!absl::ParseDuration(text, &value)) {
                throw CLI::ValidationError(absl::StrCat(
                    "--", name, " is \"", text, "\", a time with its unit, such as 500ms or 5m, is wanted"));
              }
              if (value == absl::ZeroDuration()) value = zero;
            },
            help)
        ->default_str(DurationText(value))
        ->type_name("TIME")
        ->envname(EnvironmentName(name));
  }

  void AddFlag(const std::string& name, bool& value, const std::string& help) {
    app_->add_flag("--" + name, value, help)->default_str("false")->envname(EnvironmentName(name));
  }

 private:
  CLI::App* const app_;
};

void AddAddresses(OptionList& list, ServerOptions& options) {
  list.Add("listen", options.listen, "Address of gRPC; port 0 picks a free one.")->type_name("HOST:PORT");
  list.Add("port-file", options.port_file, "Gets the gRPC address once the server serves. Empty: no file.")
      ->type_name("FILE");
  list.Add("http-listen", options.http_listen,
           "Address of /metrics, /healthz and /readyz; port 0 picks a free one; none: no endpoint.")
      ->type_name("HOST:PORT");
  list.Add("http-port-file", options.http_port_file, "Gets the HTTP address. Empty: no file.")
      ->type_name("FILE");
  list.AddFlag("insecure", options.insecure, "Allow addresses that others can reach, without TLS.");
}

void AddLimits(OptionList& list, ServerOptions& options) {
  list.Add("workers", options.workers, "Compute threads. 0: the processors that this process may use.");
  list.Add("polling-threads", options.polling_threads,
           "Threads that wait for gRPC's messages, at most as many as gRPC starts: half of the machine's "
           "processors, 2 to 16. 0: one for each four processors that this process may use.");
  list.Add("compute-dtype", options.compute_dtype,
           "f32 or bf16: what models compute with whose model.json does not say. bf16 needs a processor with "
           "AVX512_BF16 or AMX.");
  list.AddBytes("max-message-bytes", options.max_message_bytes,
                "Size of one message, both ways, and of one result.");
  list.Add("max-concurrent-streams", options.max_concurrent_streams,
           "RPCs at once on one connection; others wait. 0: no limit.");
  list.Add("max-concurrent-calls", options.max_concurrent_calls,
           "InferSequence and InferCell calls in flight. 0: no limit.");
  list.Add("max-queued-steps", options.max_queued_steps, "Steps waiting, over all sessions.");
  list.Add("max-queued-sequences", options.max_queued_sequences, "Sequences and chunks waiting or running.");
  list.AddBytes("session-memory-bytes", options.session_memory_bytes,
                "Memory of all sessions. 0: no session can be opened.");
  list.AddDuration("session-idle-timeout", options.session_idle_timeout,
                   "A session without an operation for this long ends. 0: never.", absl::InfiniteDuration());
  list.AddDuration("session-grace", options.session_grace,
                   "How long a session outlives its stream. 0: not at all.");
  list.Add("max-inflight-per-session", options.max_inflight_per_session,
           "Operations of one session that wait or run at once.");
  list.Add("max-chunk-steps", options.max_chunk_steps, "Time steps of one chunk.");
  list.Add("real-time-share", options.real_time_share,
           "How much of the workers' time, 0 to 0.9, may be promised to sessions with a real-time contract. "
           "0: none is given.");
  list.Add("tenant-header", options.tenant_header,
           "Metadata key in which a trusted proxy names a call's tenant; steps, and sequences, share the "
           "compute time fairly "
           "among tenants. Empty: all are one.");
  list.Add("tenant-weights", options.tenant_weights, "Shares of tenants, such as a=3,b=2; others have 1.");
  list.AddBytes(
      "max-owed-bytes", options.max_owed_bytes,
      "Results that a stream's reader may leave waiting before its commands wait too. 0: any result.");
}

void AddRepository(OptionList& list, ServerOptions& options) {
  list.Add("repository", options.repository, "Folder of <model>/<version>/ folders. Required.")
      ->type_name("DIR");
  list.Add("repository-mode", options.repository_mode,
           "static: models are read once, at start; poll: the folder is looked at again and again; explicit: "
           "LoadModel and UnloadModel say what is served.")
      ->type_name("MODE");
  list.AddDuration("poll-interval", options.poll_interval,
                   "Between two looks at the folder, in mode poll. What changes is loaded once it holds "
                   "still from one look to the next.");
  list.Add("load-model", options.load_model,
           "What mode explicit loads at start: NAME or NAME,NAME,...; * is all.")
      ->type_name("NAMES");
  list.Add("version-policy", options.version_policy,
           "all or latest:N: which versions of a model are served whose versions.json does not say.")
      ->type_name("POLICY");
  list.AddDuration("old-version-limit", options.old_version_limit,
                   "How long sessions may stay on a version that was replaced or unloaded; then they end. 0: "
                   "as long as they live.",
                   absl::InfiniteDuration());
  list.AddBytes("model-memory", options.model_memory,
                "Memory for the weights of all models, old versions that sessions hold included. 0: no "
                "limit.");
}

void AddStore(OptionList& list, ServerOptions& options) {
  list.Add("store", options.store,
           "Where durable sessions are kept, so that they outlive the server: none; sqlite:PATH for one "
           "machine; redis://HOST[:PORT][/DATABASE], rediss:// (TLS) or redis-socket:PATH for many servers.")
      ->type_name("STORE");
  list.Add("store-user", options.store_user, "Redis' user. Empty: its default one.");
  list.Add("store-password", options.store_password,
           "Of Redis; better given as GRUSERVE_STORE_PASSWORD. --print-config hides it.");
  list.Add("store-ca-file", options.store_ca_file,
           "With rediss://: whose certificates to trust, in PEM. Empty: those that the system trusts.");
  list.Add("store-cert-file", options.store_cert_file,
           "With rediss://: the certificate to show where Redis asks for one, in PEM, with its chain.");
  list.Add("store-key-file", options.store_key_file, "The key of --store-cert-file, in PEM.");
  list.Add(
      "seal-key-file", options.seal_key_file,
      "A file of at least 32 bytes: exported sessions are sealed with it, and only such are imported, so "
      "that clients may carry them.");
  list.Add("default-durability", options.default_durability,
           "async, sync or none: of sessions that do not say, where there is a store.");
  list.AddDuration("checkpoint-interval", options.checkpoint_interval,
                   "Between two checkpoints of an ASYNC session that steps.");
  list.AddDuration("stored-session-ttl", options.stored_session_ttl,
                   "How long a stored session outlives its last renewal by a server.");
  list.Add("max-undurable-steps", options.max_undurable_steps,
           "Steps of one session that may be ahead of what is durable. 0: no limit.");
  list.AddFlag(
      "require-bit-exact", options.require_bit_exact,
      "Refuse to resume what another kind of processor or server version computed, instead of going on "
      "with other bits.");
}

void AddRunning(OptionList& list, ServerOptions& options) {
  list.AddDuration("drain-timeout", options.drain_timeout,
                   "From SIGTERM to the end of what still runs. 0: cut at once.");
  list.Add("log-format", options.log_format, "text or json.");
  list.Add("log-level", options.log_level, "debug, info, warning or error.");
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CommandLine line;
  bool print_config = false;
  CLI::App app("Serves GRU models: whole sequences, and sessions step by step.", "gruserve-server");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("gruserve-server ") + GRUSERVE_VERSION);
  app.get_option("--version")->configurable(false);
  app.get_help_ptr()->configurable(false);
  app.config_formatter(std::make_shared<YamlConfig>(&app));
  // CLI11 looks at the environment only after the file, so not for its name.
  const char* const config_file = std::getenv("GRUSERVE_CONFIG");
  app.set_config("--config", config_file == nullptr ? "" : config_file,
                 "YAML file of options: session-grace: 10s",
                 /*config_required=*/config_file != nullptr)
      ->type_name("FILE")
      ->configurable(false);
  app.add_flag("--print-config", print_config, "Print the effective options as YAML and exit.")
      ->configurable(false);
  OptionList list(&app);
  AddRepository(list, line.options);
  AddAddresses(list, line.options);
  AddLimits(list, line.options);
  AddStore(list, line.options);
  AddRunning(list, line.options);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {
    line.exit_code = 0;
    line.text = app.count("--version") > 0 ? app.version() + "\n" : app.help();
    return line;
  } catch (const CLI::ParseError& error) {
    line.exit_code = kUsageError;
    line.text = absl::StrCat(error.what(), "\n");
    return line;
  }
  if (const absl::Status valid = ValidateOptions(line.options); !valid.ok()) {
    line.exit_code = kUsageError;
    line.text = MessageText(valid) + "\n";
  } else if (print_config) {
    line.exit_code = 0;
    line.text = app.config_to_str(/*default_also=*/true);
  }
  return line;
}

}  // namespace gruserve::server

// Everything that can be set about a server: by flag, environment variable
// (GRUSERVE_ and the flag's name), or YAML file, in this order of precedence.

#ifndef GRUSERVE_SERVER_SERVER_OPTIONS_H_
#define GRUSERVE_SERVER_SERVER_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/runtime/model_repository.h"
#include "core/store/durability.h"
#include "core/store/store_address.h"

namespace gruserve::server {

struct ServerOptions {
  // The model repository: a folder of <model>/<version>/ folders. Required.
  std::string repository;
  // "static": what is there at start; "poll": what is there, looked up again and again;
  // "explicit": what LoadModel and UnloadModel say.
  std::string repository_mode = "static";
  // Between two looks, in mode poll.
  absl::Duration poll_interval = absl::Seconds(15);
  // What mode explicit loads at start: names with commas between; "*" is all.
  std::string load_model;
  // "all" or "latest:N": which versions are served of a model without a versions.json.
  std::string version_policy = "all";
  // How long sessions may stay on a version that was replaced or unloaded. Infinite: as
  // long as they live.
  absl::Duration old_version_limit = absl::InfiniteDuration();
  // Bytes that the weights of all models may take. 0: no limit.
  int64_t model_memory = 0;
  // host:port for gRPC; port 0 picks a free one.
  std::string listen = "127.0.0.1:50051";
  // Gets the gRPC address, once the server serves. Empty: no file.
  std::string port_file;
  // host:port for metrics and probes; port 0 picks a free one; "none" or empty: off.
  std::string http_listen = "127.0.0.1:9464";
  // Gets the HTTP address. Empty: no file.
  std::string http_port_file;
  // Allows addresses other than loopback without TLS.
  bool insecure = false;

  // Compute threads. 0: the processors that this process may use.
  int workers = 0;
  // Threads that wait for gRPC's messages, of the whole process: see PollingThreads. 0: one for
  // each four processors that this process may use.
  int polling_threads = 0;
  // "f32" or "bf16": what a model computes with whose model.json does not say.
  std::string compute_dtype = "f32";
  // Bytes of one gRPC message, both ways, and of one result.
  int64_t max_message_bytes = int64_t{64} << 20;
  // RPCs at once on one connection. 0: no limit.
  int max_concurrent_streams = 1024;
  // InferSequence and InferCell calls in flight. 0: no limit.
  int64_t max_concurrent_calls = 1024;
  // Steps waiting, over all sessions and models.
  int64_t max_queued_steps = 1 << 20;
  // Sequences and chunks waiting or running.
  int64_t max_queued_sequences = 4096;

  // Bytes that all sessions may hold. 0: no session can be opened.
  int64_t session_memory_bytes = int64_t{1} << 30;
  // Without an operation for this long, a session ends. Infinite: never.
  absl::Duration session_idle_timeout = absl::Minutes(5);
  // How long a session outlives its stream. 0: not at all.
  absl::Duration session_grace = absl::Seconds(60);
  // Operations of one session that wait or run at once.
  int max_inflight_per_session = 64;
  // Time steps of one chunk.
  int64_t max_chunk_steps = 4096;
  // Bytes of results a stream's reader may owe before its commands wait.
  int64_t max_owed_bytes = int64_t{1} << 20;

  // Where durable sessions are kept: see StoreAddress.
  std::string store = "none";
  std::string store_user;
  std::string store_password;
  // Of TLS, for rediss://: see TlsFiles.
  std::string store_ca_file;
  std::string store_cert_file;
  std::string store_key_file;
  // "async", "sync" or "none": of sessions that do not say, where there is a store.
  std::string default_durability = "async";
  // Between two checkpoints of an ASYNC session that steps.
  absl::Duration checkpoint_interval = absl::Milliseconds(100);
  // How long a stored session outlives its last renewal by a server.
  absl::Duration stored_session_ttl = absl::Hours(1);
  // Steps of one session that may be ahead of what is durable. 0: no limit.
  int64_t max_undurable_steps = 4096;
  // Refuses to resume what other kernels computed, instead of going on with other bits.
  bool require_bit_exact = false;
  // A file whose bytes seal exported sessions. Empty: they are not sealed.
  std::string seal_key_file;

  // Of the workers' time, 0 to 0.9: how much may be promised to sessions with a
  // real-time contract. 0: none is given.
  double real_time_share = 0.5;

  // The metadata key in which a proxy that can be trusted names a call's tenant, in
  // lower case. Empty: all calls are of one tenant.
  std::string tenant_header;
  // "a=3,b=1": weights of tenants; others have 1.
  std::string tenant_weights;

  // From SIGTERM to the end of what still runs. 0: cut at once.
  absl::Duration drain_timeout = absl::Seconds(30);
  // "text" or "json".
  std::string log_format = "text";
  // "debug", "info", "warning" or "error".
  std::string log_level = "info";
};

// InvalidArgument, naming the option, what it is and what is wanted.
absl::Status ValidateOptions(const ServerOptions& options);

// Of the options `store...`.
StoreAddress StoreAddressOf(const ServerOptions& options);

// Of `repository_mode`; nothing where it is another word.
std::optional<RepositoryMode> ParseRepositoryMode(const std::string& text);

// Of `default_durability`; nothing where it is another word.
std::optional<Durability> ParseDurability(const std::string& text);

// Sets the form and level of the process's log. REQUIRES: the options are valid.
void ConfigureLogOf(const ServerOptions& options);

// "host:port" apart; the host without the brackets of an IPv6 address.
struct HostPort {
  std::string host;
  int port = 0;
};
absl::Status ParseHostPort(const std::string& option, const std::string& text, HostPort* host_port);
// Whether only this machine can reach `host`.
bool IsLoopback(const std::string& host);
// "host:port" in one piece, an IPv6 host in brackets.
std::string JoinHostPort(const HostPort& host_port);
// Whether `http_listen` asks for no endpoint.
bool HttpDisabled(const ServerOptions& options);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SERVER_OPTIONS_H_

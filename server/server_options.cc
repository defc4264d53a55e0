#include "server/server_options.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/engine/compute_dtype.h"
#include "core/store/store_address.h"
#include "server/tenants.h"

namespace gruserve::server {
namespace {

constexpr double kMostRealTime = 0.9;
constexpr int kMaxPort = 65535;

absl::Status Wrong(const std::string& option, const std::string& got, const std::string& wanted) {
  return absl::InvalidArgumentError(absl::StrCat("--", option, " is ", got, ", ", wanted, " is wanted"));
}

absl::Status AtLeast(const std::string& option, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return Wrong(option, absl::StrCat(value), absl::StrCat("at least ", least));
}

absl::Status NotNegative(const std::string& option, absl::Duration value) {
  if (value >= absl::ZeroDuration()) return absl::OkStatus();
  return Wrong(option, absl::FormatDuration(value), "a time from 0 on");
}

absl::Status CheckAddress(const std::string& option, const std::string& text, bool insecure) {
  HostPort host_port;
  GRUSERVE_RETURN_IF_ERROR(ParseHostPort(option, text, &host_port));
  if (insecure || IsLoopback(host_port.host)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--", option, " is ", text, ", which others can reach without TLS: bind 127.0.0.1, or say --insecure ",
      "where the network is trusted"));
}

absl::Status CheckLimits(const ServerOptions& options) {
  GRUSERVE_RETURN_IF_ERROR(AtLeast("workers", options.workers, 0));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("polling-threads", options.polling_threads, 0));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-message-bytes", options.max_message_bytes, 1024));
  if (options.max_message_bytes > INT32_MAX) {
    return Wrong("max-message-bytes", absl::StrCat(options.max_message_bytes),
                 absl::StrCat("at most ", INT32_MAX));
  }
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-concurrent-streams", options.max_concurrent_streams, 0));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-concurrent-calls", options.max_concurrent_calls, 0));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-queued-steps", options.max_queued_steps, 1));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-queued-sequences", options.max_queued_sequences, 1));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("session-memory-bytes", options.session_memory_bytes, 0));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-inflight-per-session", options.max_inflight_per_session, 1));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-chunk-steps", options.max_chunk_steps, 1));
  GRUSERVE_RETURN_IF_ERROR(AtLeast("max-owed-bytes", options.max_owed_bytes, 0));
  if (!(options.real_time_share >= 0 && options.real_time_share <= kMostRealTime)) {
    return Wrong("real-time-share", absl::StrCat(options.real_time_share),
                 absl::StrCat("0 to ", kMostRealTime));
  }
  GRUSERVE_RETURN_IF_ERROR(NotNegative("session-idle-timeout", options.session_idle_timeout));
  GRUSERVE_RETURN_IF_ERROR(NotNegative("session-grace", options.session_grace));
  return NotNegative("drain-timeout", options.drain_timeout);
}

// A metadata key as HTTP/2 has it.
absl::Status CheckTenants(const ServerOptions& options) {
  for (const char letter : options.tenant_header) {
    if (absl::ascii_islower(static_cast<unsigned char>(letter)) ||
        absl::ascii_isdigit(static_cast<unsigned char>(letter)) || letter == '-' || letter == '_' ||
        letter == '.')
      continue;
    return Wrong("tenant-header", options.tenant_header, "a metadata key of a-z, 0-9, -, _ and .");
  }
  return ParseTenantWeights(options.tenant_weights).status();
}

absl::Status CheckRepository(const ServerOptions& options) {
  const std::optional<RepositoryMode> mode = ParseRepositoryMode(options.repository_mode);
  if (!mode.has_value()) {
    return Wrong("repository-mode", options.repository_mode, "static, poll or explicit");
  }
  if (options.poll_interval < absl::Milliseconds(100)) {
    return Wrong("poll-interval", absl::FormatDuration(options.poll_interval), "at least 100ms");
  }
  if (mode != RepositoryMode::kExplicit && !options.load_model.empty()) {
    return Wrong("load-model", options.load_model, "nothing without --repository-mode explicit");
  }
  if (!ParseVersionPolicy(options.version_policy).has_value()) {
    return Wrong("version-policy", options.version_policy, "all or latest:N");
  }
  GRUSERVE_RETURN_IF_ERROR(NotNegative("old-version-limit", options.old_version_limit));
  return AtLeast("model-memory", options.model_memory, 0);
}

absl::Status CheckComputeDtype(const ServerOptions& options) {
  if (ParseComputeDtype(options.compute_dtype).has_value()) return absl::OkStatus();
  return Wrong("compute-dtype", options.compute_dtype, "f32 or bf16");
}

absl::Status CheckStore(const ServerOptions& options) {
  GRUSERVE_RETURN_IF_ERROR(CheckStoreAddress(StoreAddressOf(options)));
  if (!ParseDurability(options.default_durability).has_value()) {
    return Wrong("default-durability", options.default_durability, "async, sync or none");
  }
  if (options.checkpoint_interval < absl::Milliseconds(1)) {
    return Wrong("checkpoint-interval", absl::FormatDuration(options.checkpoint_interval), "at least 1ms");
  }
  if (options.stored_session_ttl < absl::Seconds(1)) {
    return Wrong("stored-session-ttl", absl::FormatDuration(options.stored_session_ttl), "at least 1s");
  }
  if (options.max_undurable_steps < 0) {
    return Wrong("max-undurable-steps", absl::StrCat(options.max_undurable_steps),
                 "a number of steps, or 0 for no limit,");
  }
  return absl::OkStatus();
}

absl::Status CheckLog(const ServerOptions& options) {
  if (options.log_format != "text" && options.log_format != "json") {
    return Wrong("log-format", options.log_format, "text or json");
  }
  for (const char* level : {"debug", "info", "warning", "error"}) {
    if (options.log_level == level) return absl::OkStatus();
  }
  return Wrong("log-level", options.log_level, "debug, info, warning or error");
}

}  // namespace

StoreAddress StoreAddressOf(const ServerOptions& options) {
  return {options.store,
          options.store_user,
          options.store_password,
          {options.store_ca_file, options.store_cert_file, options.store_key_file}};
}

std::optional<RepositoryMode> ParseRepositoryMode(const std::string& text) {
  if (text == "static") return RepositoryMode::kStatic;
  if (text == "poll") return RepositoryMode::kPoll;
  if (text == "explicit") return RepositoryMode::kExplicit;
  return std::nullopt;
}

std::optional<Durability> ParseDurability(const std::string& text) {
  if (text == "async") return Durability::kAsync;
  if (text == "sync") return Durability::kSync;
  if (text == "none") return Durability::kNone;
  return std::nullopt;
}

void ConfigureLogOf(const ServerOptions& options) {
  LogLevel lowest = LogLevel::kInfo;
  if (options.log_level == "debug") lowest = LogLevel::kDebug;
  if (options.log_level == "warning") lowest = LogLevel::kWarning;
  if (options.log_level == "error") lowest = LogLevel::kError;
  ConfigureLog(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText, lowest);
}

absl::Status ParseHostPort(const std::string& option, const std::string& text, HostPort* host_port) {
  const size_t colon = text.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port < 0 || port > kMaxPort) {
    return Wrong(option, absl::StrCat("\"", text, "\""), "host:port, such as 127.0.0.1:50051,");
  }
  std::string host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  *host_port = {host, port};
  return absl::OkStatus();
}

bool IsLoopback(const std::string& host) {
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24U) == 127;
  return host == "localhost" || host == "::1";
}

std::string JoinHostPort(const HostPort& host_port) {
  const bool ipv6 = absl::StrContains(host_port.host, ":");
  return ipv6 ? absl::StrCat("[", host_port.host, "]:", host_port.port)
              : absl::StrCat(host_port.host, ":", host_port.port);
}

bool HttpDisabled(const ServerOptions& options) {
  return options.http_listen.empty() || options.http_listen == "none";
}

absl::Status ValidateOptions(const ServerOptions& options) {
  if (options.repository.empty()) return Wrong("repository", "not set", "the folder of the models");
  GRUSERVE_RETURN_IF_ERROR(CheckAddress("listen", options.listen, options.insecure));
  if (!HttpDisabled(options)) {
    GRUSERVE_RETURN_IF_ERROR(CheckAddress("http-listen", options.http_listen, options.insecure));
  }
  GRUSERVE_RETURN_IF_ERROR(CheckRepository(options));
  GRUSERVE_RETURN_IF_ERROR(CheckComputeDtype(options));
  GRUSERVE_RETURN_IF_ERROR(CheckLimits(options));
  GRUSERVE_RETURN_IF_ERROR(CheckTenants(options));
  GRUSERVE_RETURN_IF_ERROR(CheckStore(options));
  return CheckLog(options);
}

}  // namespace gruserve::server

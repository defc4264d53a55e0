#include "core/store/store_address.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/store/redis/redis_session_store.h"
#include "core/store/sqlite/sqlite_session_store.h"

namespace gruserve {
namespace {

constexpr int kMostPort = 65535;
constexpr char kWanted[] =
    "none, sqlite:PATH, redis[s]://HOST[:PORT][/DATABASE] or redis-socket:PATH is wanted";

// What follows `prefix`; nothing where that does not begin the text, or nothing follows.
std::optional<std::string> After(const std::string& text, const std::string& prefix) {
  if (!absl::StartsWith(text, prefix) || text.size() == prefix.size()) return std::nullopt;
  return text.substr(prefix.size());
}

absl::Status Wrong(const std::string& text, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("store is \"", text, "\"", why, ": ", kWanted));
}

// HOST[:PORT][/DATABASE].
absl::StatusOr<RedisAddress> ParseRedis(const std::string& text, std::string place) {
  RedisAddress address;
  if (absl::StrContains(place, "@")) {
    // Not repeated: it may hold the password.
    return absl::InvalidArgumentError(
        "store has an @: give user and password apart, as store-user and store-password");
  }
  if (const size_t slash = place.find('/'); slash != std::string::npos) {
    const std::string database = place.substr(slash + 1);
    if (!absl::SimpleAtoi(database, &address.database) || address.database < 0)
      return Wrong(text, absl::StrCat(", its database \"", database, "\" is no number from 0 on"));
    place.resize(slash);
  }
  const size_t bracket = place.rfind(']');
  const size_t colon = place.rfind(':');
  if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
    const std::string port = place.substr(colon + 1);
    if (!absl::SimpleAtoi(port, &address.port) || address.port < 1 || address.port > kMostPort)
      return Wrong(text, absl::StrCat(", its port \"", port, "\" is no number from 1 to ", kMostPort));
    place.resize(colon);
  }
  if (place.size() > 2 && place.front() == '[' && place.back() == ']')
    place = place.substr(1, place.size() - 2);
  if (place.empty()) return Wrong(text, ", without a host");
  address.host = std::move(place);
  return address;
}

absl::StatusOr<RedisAddress> RedisOf(const StoreAddress& address) {
  RedisAddress redis;
  if (const auto path = After(address.text, "redis-socket:"); path.has_value()) {
    redis.unix_socket = *path;
  } else if (const auto place = After(address.text, "redis://"); place.has_value()) {
    GRUSERVE_ASSIGN_OR_RETURN(redis, ParseRedis(address.text, *place));
  } else if (const auto tls_place = After(address.text, "rediss://"); tls_place.has_value()) {
    GRUSERVE_ASSIGN_OR_RETURN(redis, ParseRedis(address.text, *tls_place));
    redis.tls = address.tls;
  } else {
    return Wrong(address.text, "");
  }
  redis.user = address.user;
  redis.password = address.password;
  return redis;
}

absl::Status CheckTls(const StoreAddress& address) {
  const TlsFiles& tls = address.tls;
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(tls.key.empty()
                                                       ? "store-cert-file is given without store-key-file"
                                                       : "store-key-file is given without store-cert-file",
                                                   ": both or none are wanted"));
  }
  const bool any = !tls.ca.empty() || !tls.certificate.empty();
  if (!any || absl::StartsWith(address.text, "rediss://")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("store-ca-file or store-cert-file is given, but store is \"",
                                                 address.text, "\": only rediss:// speaks TLS"));
}

}  // namespace

absl::Status CheckStoreAddress(const StoreAddress& address) {
  GRUSERVE_RETURN_IF_ERROR(CheckTls(address));
  if (address.text == "none" || After(address.text, "sqlite:").has_value()) return absl::OkStatus();
  return RedisOf(address).status();
}

absl::StatusOr<std::unique_ptr<SessionStore>> OpenSessionStore(const StoreAddress& address, Clock* clock) {
  if (address.text == "none") return nullptr;
  if (const auto path = After(address.text, "sqlite:"); path.has_value())
    return SqliteSessionStore::Open(*path, clock);
  GRUSERVE_ASSIGN_OR_RETURN(const RedisAddress redis, RedisOf(address));
  return RedisSessionStore::Open(redis);
}

}  // namespace gruserve

// Where a session store is, as an operator writes it.

#ifndef GRUSERVE_CORE_STORE_STORE_ADDRESS_H_
#define GRUSERVE_CORE_STORE_STORE_ADDRESS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/store/redis/tls_socket.h"
#include "core/store/session_store.h"

namespace gruserve {

struct StoreAddress {
  // none | sqlite:PATH | redis://HOST[:PORT][/DATABASE] | rediss://, the same over TLS |
  // redis-socket:PATH
  std::string text = "none";
  // For Redis; never part of a text that is logged.
  std::string user;
  std::string password;
  TlsFiles tls = {};  // For rediss://.
};

// InvalidArgument: what came, and what is wanted.
absl::Status CheckStoreAddress(const StoreAddress& address);

// Null for "none". Errors as of the store's Open. `clock` must outlive it.
absl::StatusOr<std::unique_ptr<SessionStore>> OpenSessionStore(const StoreAddress& address, Clock* clock);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_STORE_ADDRESS_H_

// TLS over a socket that is connected already, as a client.
//
// hiredis of Debian 12 has no TLS, and the one of Debian 13 takes no name to check a
// certificate against: so OpenSSL is spoken to here, and hiredis only packs and unpacks
// what goes over it. Not thread-safe. Calls block for at most the socket's own timeouts.

#ifndef GRUSERVE_CORE_STORE_REDIS_TLS_SOCKET_H_
#define GRUSERVE_CORE_STORE_REDIS_TLS_SOCKET_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ssl_st;

namespace gruserve {

// PEM files.
struct TlsFiles {
  std::string ca;           // Whom to trust. Empty: whom the system trusts.
  std::string certificate;  // What to show to a server that asks, with its chain. Empty: nothing.
  std::string key;          // The certificate's.
};

class TlsSocket {
 public:
  // Shakes hands over `fd`, which must outlive it, with `host`, a name or an address that
  // the server's certificate must have. InvalidArgument: a file that cannot be used;
  // PermissionDenied: a certificate that is not believed; Unavailable: anything else.
  // REQUIRES, as for all methods: no SIGPIPE can come.
  static absl::StatusOr<std::unique_ptr<TlsSocket>> Connect(int fd, const std::string& host,
                                                            const TlsFiles& files);

  // Writes all of `bytes`.
  absl::Status Write(std::string_view bytes);
  // Waits for some bytes, reads those into `buffer`, and answers how many.
  absl::StatusOr<size_t> Read(std::span<char> buffer);

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  TlsSocket() = default;
  absl::Status Fault(const char* what, int result) const;

  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_REDIS_TLS_SOCKET_H_

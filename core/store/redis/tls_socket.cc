#include "core/store/redis/tls_socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

// What OpenSSL has to say, and empties its queue.
std::string Reason() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(first)) return std::strerror(ERR_GET_REASON(first));
  const char* const reason = ERR_reason_error_string(first);
  return reason == nullptr ? "no reason is given" : reason;
}

absl::Status BadFile(const char* field, const std::string& file) {
  return absl::InvalidArgumentError(absl::StrCat(field, " \"", file, "\" cannot be used: ", Reason()));
}

absl::Status UseFiles(SSL_CTX* context, const TlsFiles& files) {
  ERR_clear_error();
  const int trusts = files.ca.empty() ? SSL_CTX_set_default_verify_paths(context)
                                      : SSL_CTX_load_verify_locations(context, files.ca.c_str(), nullptr);
  if (trusts != 1) return BadFile("store-ca-file", files.ca);
  if (files.certificate.empty()) return absl::OkStatus();
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
    return BadFile("store-cert-file", files.certificate);
  // Also whether it is the certificate's.
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return BadFile("store-key-file", files.key);
  return absl::OkStatus();
}

// The certificate must be of `host`.
bool Expect(SSL* ssl, const std::string& host) {
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1) return true;
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

void TlsSocket::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

absl::StatusOr<std::unique_ptr<TlsSocket>> TlsSocket::Connect(int fd, const std::string& host,
                                                              const TlsFiles& files) {
  const Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return absl::UnavailableError(absl::StrCat("no TLS: ", Reason()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  GRUSERVE_RETURN_IF_ERROR(UseFiles(context.get(), files));
  std::unique_ptr<TlsSocket> socket(new TlsSocket());
  socket->ssl_.reset(SSL_new(context.get()));
  SSL* const ssl = socket->ssl_.get();
  if (ssl == nullptr || !Expect(ssl, host) || SSL_set_fd(ssl, fd) != 1)
    return absl::UnavailableError(absl::StrCat("no TLS with ", host, ": ", Reason()));
  ERR_clear_error();
  const int result = SSL_connect(ssl);
  if (result == 1) return socket;
  if (const long verified = SSL_get_verify_result(ssl); verified != X509_V_OK) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the certificate of ", host, " is not believed: ", X509_verify_cert_error_string(verified)));
  }
  return socket->Fault("shaking hands", result);
}

absl::Status TlsSocket::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    ERR_clear_error();
    const int most = static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX));
    const int written = SSL_write(ssl_.get(), bytes.data(), most);
    if (written <= 0) return Fault("writing", written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> TlsSocket::Read(std::span<char> buffer) {
  ERR_clear_error();
  const int most = static_cast<int>(std::min<size_t>(buffer.size(), INT_MAX));
  const int got = SSL_read(ssl_.get(), buffer.data(), most);
  if (got <= 0) return Fault("reading", got);
  return static_cast<size_t>(got);
}

absl::Status TlsSocket::Fault(const char* what, int result) const {
  const int saved = errno;
  const auto because = [what](const std::string& why) {
    return absl::UnavailableError(absl::StrCat("TLS broke while ", what, ": ", why));
  };
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:  // The socket's timeout.
    case SSL_ERROR_WANT_WRITE:
      return because("the server answers nothing");
    case SSL_ERROR_ZERO_RETURN:
      return because("the server closed the connection");
    case SSL_ERROR_SYSCALL:
      return because(saved == 0 ? "the server closed the connection" : std::strerror(saved));
    default:
      return because(Reason());
  }
}

}  // namespace gruserve

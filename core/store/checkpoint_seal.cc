#include "core/store/checkpoint_seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

// The magic, and version 1.
constexpr std::string_view kHead{"GRUSSEAL\1\0\0\0", 12};
constexpr std::string_view kMagic = kHead.substr(0, 8);
constexpr size_t kSignatureBytes = 32;

}  // namespace

absl::StatusOr<CheckpointSeal> CheckpointSeal::Create(std::string key) {
  if (key.size() >= kMinKeyBytes) return CheckpointSeal(std::move(key));
  return absl::InvalidArgumentError(
      absl::StrCat("the seal's key has ", key.size(), " bytes, at least ", kMinKeyBytes, " are wanted"));
}

absl::StatusOr<CheckpointSeal> CheckpointSeal::FromFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read the seal's key ", path));
  std::string key{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return absl::InternalError(absl::StrCat("cannot read the seal's key ", path));
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  return Create(std::move(key));
}

absl::StatusOr<std::string> CheckpointSeal::Sign(std::string_view bytes) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> signature{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), signature.data(),
           &size) == nullptr ||
      size != kSignatureBytes) {
    return absl::InternalError("cannot compute a seal");
  }
  return std::string(reinterpret_cast<const char*>(signature.data()), size);
}

absl::StatusOr<std::string> CheckpointSeal::Seal(std::string checkpoint) const {
  if (key_.empty()) return checkpoint;
  checkpoint.insert(0, kHead);
  GRUSERVE_ASSIGN_OR_RETURN(const std::string signature, Sign(checkpoint));
  return checkpoint + signature;
}

absl::StatusOr<std::string_view> CheckpointSeal::Open(std::string_view bytes) const {
  const bool sealed = bytes.substr(0, kMagic.size()) == kMagic;
  if (key_.empty()) {
    if (!sealed) return bytes;
    return absl::InvalidArgumentError(
        "checkpoint is sealed, and this server has no key for it: --seal-key-file is wanted");
  }
  if (!sealed)
    return absl::PermissionDeniedError("checkpoint is not sealed, this server takes only what it sealed");
  if (bytes.substr(0, kHead.size()) != kHead || bytes.size() < kHead.size() + kSignatureBytes) {
    return absl::PermissionDeniedError(
        absl::StrCat("checkpoint has a seal of another version, or is cut off at ", bytes.size(), " bytes"));
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kSignatureBytes);
  GRUSERVE_ASSIGN_OR_RETURN(const std::string signature, Sign(body));
  if (CRYPTO_memcmp(signature.data(), bytes.data() + body.size(), kSignatureBytes) != 0) {
    return absl::PermissionDeniedError(
        "checkpoint's seal is not of this server's key, or its bytes were changed");
  }
  return body.substr(kHead.size());
}

}  // namespace gruserve

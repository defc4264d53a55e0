// A seal around a checkpoint's bytes, so that whoever carries them cannot change them:
//
//   offset  size  what
//        0     8  magic "GRUSSEAL"
//        8     4  u32 version of this form: 1, little-endian
//       12        the checkpoint (checkpoint.h)
//   end-32    32  HMAC-SHA256 of all bytes before it
//
// It hides nothing. Immutable, so thread-safe.

#ifndef GRUSERVE_CORE_STORE_CHECKPOINT_SEAL_H_
#define GRUSERVE_CORE_STORE_CHECKPOINT_SEAL_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace gruserve {

class CheckpointSeal {
 public:
  static constexpr size_t kMinKeyBytes = 32;

  // Without a key nothing is sealed.
  CheckpointSeal() = default;
  // InvalidArgument where the key is shorter than kMinKeyBytes.
  static absl::StatusOr<CheckpointSeal> Create(std::string key);
  // Create with the bytes of a file, but for the line end that an editor leaves. Also
  // NotFound and PermissionDenied.
  static absl::StatusOr<CheckpointSeal> FromFile(const std::string& path);

  // Sealed where there is a key, else as they are. Internal where the library fails.
  absl::StatusOr<std::string> Seal(std::string checkpoint) const;

  // The checkpoint inside of `bytes`, which must outlive it. PermissionDenied where
  // there is a key and no seal of it; InvalidArgument where there is none and they are sealed.
  absl::StatusOr<std::string_view> Open(std::string_view bytes) const;

 private:
  explicit CheckpointSeal(std::string key) : key_(std::move(key)) {}

  absl::StatusOr<std::string> Sign(std::string_view bytes) const;

  std::string key_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_CHECKPOINT_SEAL_H_

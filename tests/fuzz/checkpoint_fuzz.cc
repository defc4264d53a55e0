// Any bytes as a session's checkpoint: as they are, and with length and checksum made
// right, which is what lets them further in. What can be read has one form only in
// each version.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/store/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kLengthAt = 12, kShortest = 28;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto raw = gruserve::DecodeCheckpoint(bytes);
  if (!raw.ok() && raw.status().message().empty()) std::abort();
  if (size < kShortest) return 0;
  const uint64_t length = size;
  std::memcpy(bytes.data() + kLengthAt, &length, sizeof(length));
  const uint64_t checksum = XXH3_64bits(bytes.data(), size - sizeof(checksum));
  std::memcpy(bytes.data() + size - sizeof(checksum), &checksum, sizeof(checksum));
  const auto mended = gruserve::DecodeCheckpoint(bytes);
  if (!mended.ok()) {
    if (mended.status().message().empty()) std::abort();
  } else if (bytes[8] == 2 && gruserve::EncodeCheckpoint(*mended) != bytes) {
    std::abort();
  }
  return 0;
}

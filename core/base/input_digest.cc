#include "core/base/input_digest.h"

#define XXH_INLINE_ALL  // No library to link, so that the client is installed without one.
#include <xxhash.h>

#include <cstddef>

namespace gruserve {
namespace {

uint64_t ExtendByPlace(uint64_t digest, int64_t index, uint8_t kind, std::span<const std::byte> values) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, &digest, sizeof(digest));
  XXH3_64bits_update(&state, &index, sizeof(index));
  XXH3_64bits_update(&state, &kind, sizeof(kind));
  XXH3_64bits_update(&state, values.data(), values.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace

uint64_t FirstInputDigest(const std::string& session_id, const std::string& weights_sha256) {
  const std::string text = session_id + '\0' + weights_sha256;
  return XXH3_64bits(text.data(), text.size());
}

uint64_t ExtendInputDigest(uint64_t digest, int64_t index, int64_t places, bool set_state,
                           std::span<const float> values) {
  const size_t width = values.size() / static_cast<size_t>(places);
  for (int64_t i = 0; i < places; ++i) {
    digest = ExtendByPlace(digest, index + i, set_state ? 2 : 1,
                           std::as_bytes(values.subspan(static_cast<size_t>(i) * width, width)));
  }
  return digest;
}

uint64_t ExtendInputDigestByRewind(uint64_t digest, int64_t index, int64_t rewind_to) {
  return ExtendByPlace(digest, index, 3, std::as_bytes(std::span(&rewind_to, 1)));
}

}  // namespace gruserve

// A running hash of everything that moved a session, so that a client and a server
// can tell whether they speak of the same one: a hidden state forgets, this does not.
// Thread-safe: no state.

#ifndef GRUSERVE_CORE_BASE_INPUT_DIGEST_H_
#define GRUSERVE_CORE_BASE_INPUT_DIGEST_H_

#include <cstdint>
#include <span>
#include <string>

namespace gruserve {

// Before the first operation: XXH3 (64 bits, seed 0) of the session's id, a zero byte
// and the SHA-256 of the weights file in hex.
uint64_t FirstInputDigest(const std::string& session_id, const std::string& weights_sha256);

// After an operation that took `places` of the log from `index` on: place by place, so
// that a chunk is as its steps, XXH3 of, all little-endian,
//   u64 the digest before it | i64 index | u8 1 for a step, 2 for a state set | f32 values
// A step's values are its [rows, I]; a state's those of all hidden states, none for a
// reset. REQUIRES: places >= 1, and as many values for each.
uint64_t ExtendInputDigest(uint64_t digest, int64_t index, int64_t places, bool set_state,
                           std::span<const float> values);

// After a rewind at `index`: as above with u8 3, and the i64 `rewind_to` for the values.
uint64_t ExtendInputDigestByRewind(uint64_t digest, int64_t index, int64_t rewind_to);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_INPUT_DIGEST_H_

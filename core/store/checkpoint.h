// What of a session outlives its server: where it stands in its log and its hidden
// state, and their portable form. A plain value; the functions are thread-safe.
//
// The bytes, all numbers little-endian, `text` being a u16 length and so many bytes:
//
//   offset  size  what
//        0     8  magic "GRUSCKPT"
//        8     4  u32 version of this form: 2 (1 ends before the kept states)
//       12     8  u64 length of the whole, this field and the checksum included
//       20     8  i64 model version, at least 1
//       28     8  i64 batch size: 0 unbatched, n rows
//       36     8  i64 step: the index of the last operation applied, 0 before the first, at most 2^53
//       44     8  u64 epoch under which it was written
//       52     8  u64 digest of the inputs up to `step`, 0 where none is kept
//       60     4  u32 steps whose responses the session remembers
//       64     1  u8 durability: 1 none, 2 asynchronous, 3 synchronous
//       65        text  model name
//                 text  SHA-256 of the weights file, hex
//                 text  kernel fingerprint: what decides the bits of a result
//                 u16   number of state tensors, each:
//                   text  name
//                   u8    rank, at most 8
//                   i64   each dimension, at least 0
//                 f32   their elements, tensor after tensor, row-major
//                 u32   number of remembered responses, the last being of `step`, each:
//                   u64   number of output elements, and so many f32; none for a state set
//                   u64   number of state elements, and so many f32
//                 u32   operations whose states the session keeps
//                 u32   number of kept states, each:
//                   i64   step after which it was, rising
//                   f32   its elements, as many as above
//      end-8   8  u64 XXH3 (64 bits, seed 0) of all bytes before it

#ifndef GRUSERVE_CORE_STORE_CHECKPOINT_H_
#define GRUSERVE_CORE_STORE_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/store/durability.h"

namespace gruserve {

// One named hidden state of a network.
struct StateTensorShape {
  std::string name;
  std::vector<int64_t> dims;

  bool operator==(const StateTensorShape&) const = default;
};

// What was answered to the operation at one place of the log, to answer it again.
struct RememberedResponse {
  std::vector<float> output;  // Empty where it set the state.
  std::vector<float> state;

  bool operator==(const RememberedResponse&) const = default;
};

// The state after the operation that ended at `step`.
struct KeptState {
  int64_t step = 0;
  std::vector<float> state;

  bool operator==(const KeptState&) const = default;
};

struct Checkpoint {
  std::string model_name;
  int64_t model_version = 1;
  std::string weights_sha256;
  std::string kernel_fingerprint;
  int64_t batch_size = 0;
  int64_t step = 0;
  uint64_t epoch = 0;
  uint64_t input_digest = 0;
  uint32_t remember_steps = 0;
  Durability durability = Durability::kNone;
  std::vector<StateTensorShape> state_shapes;
  std::vector<float> state;                    // Of all state tensors, one after the other.
  std::vector<RememberedResponse> remembered;  // Of the last places, up to `step`.
  uint32_t keep_states = 0;
  std::vector<KeptState> kept;  // By rising step.

  bool operator==(const Checkpoint&) const = default;
};

// REQUIRES: texts of at most 65535 bytes, at most 65535 tensors of rank 8 or less, and
// as many elements of `state`, and of each kept one, as the shapes say.
std::string EncodeCheckpoint(const Checkpoint& checkpoint);

// The inverse. The bytes may come from anywhere: whatever is wrong with them is an
// InvalidArgument that names the field, and nothing is allocated beyond their own size.
absl::StatusOr<Checkpoint> DecodeCheckpoint(std::string_view bytes);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_CHECKPOINT_H_

// The part of a checkpoint that a session's model and batch decide, and checkpoints
// that come from elsewhere.
// Thread-safe: no state.

#ifndef GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_
#define GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/runtime/loaded_model.h"
#include "core/store/checkpoint.h"

namespace gruserve {

// At step 0, with no state. `batch_size` 0 is unbatched.
Checkpoint CheckpointForm(const LoadedModel& model, int64_t batch_size);

// Whether a session of `model` can go on from `from`, which DecodeCheckpoint or a session
// gave. InvalidArgument where its responses or kept states do not fit; FailedPrecondition
// where the model has other hidden states, or cannot step.
absl::Status CheckAdoptable(const Checkpoint& from, const LoadedModel& model);

// `from` as what a new session of `model` goes on from: of that model and its kernels,
// nobody's record. As CheckAdoptable.
absl::StatusOr<Checkpoint> AdoptCheckpoint(Checkpoint from, const LoadedModel& model);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_

// The part of a checkpoint that a session's model and batch decide.
// Thread-safe: no state.

#ifndef GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_
#define GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_

#include <cstdint>

#include "core/runtime/loaded_model.h"
#include "core/store/checkpoint.h"

namespace gruserve {

// At step 0, with no state. `batch_size` 0 is unbatched.
Checkpoint CheckpointForm(const LoadedModel& model, int64_t batch_size);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_CHECKPOINT_FORM_H_

#include "core/session/checkpoint_form.h"

#include <algorithm>

namespace gruserve {

Checkpoint CheckpointForm(const LoadedModel& model, int64_t batch_size) {
  Checkpoint checkpoint;
  checkpoint.model_name = model.name();
  checkpoint.model_version = model.version();
  checkpoint.weights_sha256 = model.weights_sha256();
  checkpoint.kernel_fingerprint = model.network().kernel_fingerprint();
  checkpoint.batch_size = batch_size;
  const int64_t rows = std::max<int64_t>(batch_size, 1);
  for (const NetworkState& state : model.network().states())
    checkpoint.state_shapes.push_back({state.name, {state.blocks, rows, state.hidden_size}});
  return checkpoint;
}

}  // namespace gruserve

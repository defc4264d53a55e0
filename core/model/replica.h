// What one worker needs to run one model: primitives, a scratchpad, gather
// buffers. Made at load; steps and slices allocate nothing (oneDNN does, a little).
//
// Not thread-safe: one thread at a time, any thread. Equal bits: a row's result
// does not depend on the rows beside it, nor on how its steps are cut into calls.
// To keep that true, primitives see only our own aligned buffers, laid out as in
// the trial that chose the buckets.

#ifndef GRUSERVE_CORE_MODEL_REPLICA_H_
#define GRUSERVE_CORE_MODEL_REPLICA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/kernel_table.h"
#include "core/engine/scratchpad.h"
#include "core/model/model.h"
#include "core/model/sequence_call.h"

namespace gruserve {

// One batch row of one step. The three arrays do not overlap with another
// row's; `output` may be null.
struct StepRow {
  const float* input = nullptr;  // [I]
  float* state = nullptr;        // [layers, H], read and replaced.
  float* output = nullptr;       // [H], or null where nobody asks.
};

class Replica {
 public:
  // Internal where oneDNN fails.
  static absl::StatusOr<std::unique_ptr<Replica>> Create(std::shared_ptr<const Model> model);

  const Model& model() const { return *model_; }

  // Runs one step of every row, in batches of up to 64. Where oneDNN fails, a
  // batch's rows are all as before. FailedPrecondition where the model is not
  // steppable.
  absl::Status RunSteps(std::span<const StepRow> rows);

  // Runs a whole sequence. Equal, bit for bit, to RunSteps at every time step
  // where the model is steppable.
  absl::Status RunSequence(const SequenceCall& call);

  // For SequenceLane: runs the primitive of `bucket_index` with a layer's weights.
  // All arrays as GruArguments wants them.
  absl::Status RunLayer(int64_t layer, int64_t direction, size_t bucket_index, const float* src_layer,
                        const float* src_iter, float* dst_layer);
  // For SequenceLane: room for the input and the output of any bucket.
  float* sequence_input() { return sequence_input_.data(); }
  float* sequence_output() { return sequence_output_.data(); }

 private:
  Replica(std::shared_ptr<const Model> model, std::vector<KernelTable> tables);

  absl::Status RunBatch(std::span<const StepRow> rows);
  void GatherStates(std::span<const StepRow> rows, int64_t layer, int64_t batch_size);

  const std::shared_ptr<const Model> model_;
  std::vector<KernelTable> tables_;  // By shape of layer.
  Scratchpad scratchpad_;
  AlignedBuffer step_inputs_;   // [max batch, I]
  AlignedBuffer step_states_;   // [max batch, H], of one layer.
  AlignedBuffer step_outputs_;  // [layers, max batch, H]: the new states.
  AlignedBuffer sequence_input_;
  AlignedBuffer sequence_output_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_REPLICA_H_

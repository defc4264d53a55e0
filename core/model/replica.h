// What one worker needs to run one model: primitives, scratchpads, gather
// buffers. Made at load; RunSteps allocates nothing.
//
// Not thread-safe: one worker owns a replica. Equal bits: a row's result does
// not depend on the rows beside it, nor on how its steps are cut into calls.

#ifndef GRUSERVE_CORE_MODEL_REPLICA_H_
#define GRUSERVE_CORE_MODEL_REPLICA_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/model.h"

namespace gruserve {

// One batch row of one step. The three arrays do not overlap with another
// row's; `output` may be null.
struct StepRow {
  const float* input = nullptr;  // [I]
  float* state = nullptr;        // [layers, H], read and replaced.
  float* output = nullptr;       // [H], or null where nobody asks.
};

// One whole sequence call over `batch_size` rows.
struct SequenceCall {
  int64_t time_steps = 0;
  int64_t batch_size = 0;
  const float* input = nullptr;       // Row r at time t begins at
  int64_t input_time_stride = 0;      // input + t * input_time_stride
  int64_t input_batch_stride = 0;     //       + r * input_batch_stride.
  float* output = nullptr;            // [D * H] a row and time, or null.
  int64_t output_time_stride = 0;
  int64_t output_batch_stride = 0;
  bool last_output_only = false;      // Write only each row's own last output,
                                      // at output + r * output_batch_stride.
  std::span<const int64_t> lengths;   // One a row, 1 to T; empty: all T. The
                                      // output is zero past a row's length.
  std::span<float* const> states;     // One a row: [layers * D, H], replaced.
};

// Cuts a SequenceCall into slices of bounded work, so that a worker can do
// other things between two of them.
class SequenceRun;

class Replica {
 public:
  static absl::StatusOr<std::unique_ptr<Replica>> Create(std::shared_ptr<const Model> model);
  ~Replica();

  const Model& model() const { return *model_; }

  // Runs one step of every row, in batches of up to 64.
  // REQUIRES: the model is steppable.
  absl::Status RunSteps(std::span<const StepRow> rows);

  // Runs a whole sequence. Equal, bit for bit, to RunSteps at every time step
  // where the model is steppable.
  absl::Status RunSequence(const SequenceCall& call);

  // Begins a sequence that the caller drives slice by slice. The call's arrays
  // must live until it is done. Memory for what lies between layers is
  // allocated here.
  std::unique_ptr<SequenceRun> StartSequence(const SequenceCall& call);

 private:
  friend class SequenceRun;
  struct Buffers;

  explicit Replica(std::shared_ptr<const Model> model);

  const std::shared_ptr<const Model> model_;
  std::unique_ptr<Buffers> buffers_;
};

class SequenceRun {
 public:
  virtual ~SequenceRun() = default;
  // Runs one slice on `replica` (any replica of the same model).
  // REQUIRES: !done().
  virtual absl::Status Advance(Replica& replica) = 0;
  virtual bool done() const = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_REPLICA_H_

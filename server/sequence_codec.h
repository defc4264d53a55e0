// InferSequence and InferCell requests as work for the executor, and its results
// as responses. Thread-safe: no state.

#ifndef GRUSERVE_SERVER_SEQUENCE_CODEC_H_
#define GRUSERVE_SERVER_SEQUENCE_CODEC_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/replica.h"
#include "core/runtime/loaded_model.h"
#include "gruserve/v1/inference_service.pb.h"
#include "server/tensor_codec.h"

namespace gruserve::server {

// Hidden states of a batch, one run of [layers * directions, H] a row, which is
// how the executor wants them; the wire has the batch in the middle.
class StateRows {
 public:
  StateRows() = default;
  // All zero.
  StateRows(const GruConfig& config, int64_t batch_size);

  // Copies from and to the order of the wire.
  void Read(std::span<const float> wire);
  void Write(std::span<float> wire) const;

  std::span<float* const> rows() { return rows_; }

 private:
  int64_t blocks_ = 0;
  int64_t hidden_size_ = 0;
  std::vector<float> elements_;
  std::vector<float*> rows_;
};

// One InferSequence request, checked, its response's tensors in place.
struct SequencePlan {
  SequenceCall call;  // Points into the request, the response and `states`.
  StateRows states;
  bool batched = true;
  TensorForm form = TensorForm::kValues;
  int64_t row_steps = 0;
};

// Checks the request against the model and sizes the response's output.
// ResourceExhausted where results or what lies between layers would pass
// `max_bytes`.
// REQUIRES: the messages stay where they are while the call runs.
absl::StatusOr<SequencePlan> PlanSequence(const v1::InferSequenceRequest& request, const LoadedModel& model,
                                          int64_t max_bytes, v1::InferSequenceResponse* response);

// Fills in everything but the output, which the call itself has written.
void EncodeSequence(const SequencePlan& plan, const LoadedModel& model, v1::InferSequenceResponse* response);

// The hidden states as OpenSessionOptions wants them: [layers, rows, H].
std::vector<float> FinalState(const SequencePlan& plan, const LoadedModel& model);

// One InferCell request, checked, its response's tensor in place.
struct CellPlan {
  std::vector<StepRow> rows;  // Point into the request and the response.
};

// FailedPrecondition unless the model is one cell. The state is computed in
// place, in the response.
absl::StatusOr<CellPlan> PlanCell(const v1::InferCellRequest& request, const LoadedModel& model,
                                  int64_t max_bytes, v1::InferCellResponse* response);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SEQUENCE_CODEC_H_

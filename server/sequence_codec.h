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

// Hidden states of a batch, one run of all states a row, which is how the executor
// wants them.
class StateRows {
 public:
  StateRows() = default;
  // All zero. `network` must outlive it.
  StateRows(const Network& network, int64_t batch_size);

  // Copies from the order of the wire (state_codec.h); what the network begins with
  // where `values` is empty.
  void Read(std::span<const float> values);
  // In the order of the wire.
  std::vector<float> Get() const;

  std::span<float* const> rows() { return rows_; }

 private:
  const Network* network_ = nullptr;
  std::vector<float> elements_;
  std::vector<float*> rows_;
};

// One InferSequence request, checked, its response's tensors in place.
struct SequencePlan {
  SequenceCall call;  // Points into the request, the response and `states`.
  StateRows states;
  std::vector<float> input;  // What `call` reads, where the request's own form is not floats.
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

// Fills in everything but the output, which the call itself has written, and finishes that.
void EncodeSequence(const SequencePlan& plan, const LoadedModel& model, v1::InferSequenceResponse* response);

// One InferCell request, checked, its response's tensor in place.
struct CellPlan {
  std::vector<StepRow> rows;  // Point into the request, the response and `input`.
  std::vector<float> input;   // As of a SequencePlan.
  TensorForm form = TensorForm::kValues;
};

// FailedPrecondition unless the model is one cell. The state is computed in
// place, in the response.
absl::StatusOr<CellPlan> PlanCell(const v1::InferCellRequest& request, const LoadedModel& model,
                                  int64_t max_bytes, v1::InferCellResponse* response);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SEQUENCE_CODEC_H_

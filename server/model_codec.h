// Models of the wire and of the repository. Thread-safe: no state.

#ifndef GRUSERVE_SERVER_MODEL_CODEC_H_
#define GRUSERVE_SERVER_MODEL_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/runtime/model_repository.h"
#include "gruserve/v1/model.pb.h"
#include "server/tensor_codec.h"

namespace gruserve::server {

// `model "demo" version 3`, as messages name it.
std::string ModelLabel(const LoadedModel& model);

// The model that `spec` names, once the spec itself is sound. `field` names it
// in messages.
absl::StatusOr<ModelHandle> FindModel(const ModelRepository& repository, const v1::ModelSpec& spec,
                                      const std::string& field);

// FailedPrecondition for a bidirectional model: sessions cannot step it.
absl::Status CheckSteppable(const LoadedModel& model);

// The shape of a hidden state: [layers * directions, B, H], without B where
// unbatched, without the first axis for a GRUCell.
std::vector<int64_t> StateShape(const GruConfig& config, bool batched, int64_t batch_size);

// InvalidArgument unless `state` has the shape above.
absl::Status CheckState(const TensorView& state, const std::string& field, const LoadedModel& model,
                        bool batched, int64_t batch_size);

v1::ModelSpec EncodeSpec(const LoadedModel& model);
v1::ModelSummary EncodeSummary(const ModelStatus& status);
v1::ModelDescription EncodeDescription(const LoadedModel& model);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_MODEL_CODEC_H_

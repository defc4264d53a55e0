// Models of the wire and of the repository. Thread-safe: no state.

#ifndef GRUSERVE_SERVER_MODEL_CODEC_H_
#define GRUSERVE_SERVER_MODEL_CODEC_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/runtime/model_repository.h"
#include "gruserve/v1/model.pb.h"

namespace gruserve::server {

// `model "demo" version 3`, as messages name it.
std::string ModelLabel(const LoadedModel& model);

// The model that `spec` names, once the spec itself is sound. `field` names it
// in messages.
absl::StatusOr<ModelHandle> FindModel(const ModelRepository& repository, const v1::ModelSpec& spec,
                                      const std::string& field);

// FailedPrecondition for a model that sessions cannot step: one with two directions.
absl::Status CheckSteppable(const LoadedModel& model);

// InvalidArgument where a feature of an input row that must be an index is none of the
// model's. `place` is where the row lies: "input[3, 0".
absl::Status CheckIndexes(std::span<const float> row, const LoadedModel& model, const std::string& place);

v1::ModelSpec EncodeSpec(const LoadedModel& model);
v1::ModelSummary EncodeSummary(const ModelStatus& status);
v1::ModelDescription EncodeDescription(const LoadedModel& model);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_MODEL_CODEC_H_

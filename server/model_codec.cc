#include "server/model_codec.h"

#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/state_codec.h"

namespace gruserve::server {
namespace {

v1::ModelState EncodeState(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return v1::MODEL_STATE_LOADING;
    case ModelState::kReady:
      return v1::MODEL_STATE_READY;
    case ModelState::kFailed:
      return v1::MODEL_STATE_FAILED;
  }
  return v1::MODEL_STATE_UNSPECIFIED;
}

v1::ComputeDtype EncodeComputeDtype(std::optional<ComputeDtype> dtype) {
  if (!dtype.has_value()) return v1::COMPUTE_DTYPE_UNSPECIFIED;
  return *dtype == ComputeDtype::kBf16 ? v1::COMPUTE_DTYPE_BF16 : v1::COMPUTE_DTYPE_F32;
}

void DescribeGru(const GruConfig& config, v1::ModelDescription* description) {
  description->set_cell_kind(config.cell_kind == CellKind::kResetBefore ? v1::CELL_KIND_RESET_BEFORE
                                                                        : v1::CELL_KIND_LINEAR_BEFORE_RESET);
  description->set_module_kind(config.module_kind == ModuleKind::kGruCell ? v1::MODULE_KIND_GRU_CELL
                                                                          : v1::MODULE_KIND_GRU);
  description->set_hidden_size(config.hidden_size);
  description->set_num_layers(config.num_layers);
  description->set_num_directions(config.num_directions);
  description->set_bias(config.bias);
}

}  // namespace

std::string ModelLabel(const LoadedModel& model) {
  return absl::StrCat("model \"", model.name(), "\" version ", model.version());
}

absl::StatusOr<ModelHandle> FindModel(const ModelRepository& repository, const v1::ModelSpec& spec,
                                      const std::string& field) {
  if (spec.name().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".name is empty, a model's name is required"));
  }
  if (spec.version() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".version is ", spec.version(),
                                                   ", a version's number or 0 for the highest is wanted"));
  }
  if (spec.label().empty()) return repository.Find(spec.name(), spec.version());
  if (spec.version() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".label and ", field, ".version are both set, ", "one of them is wanted"));
  }
  return repository.FindLabel(spec.name(), spec.label());
}

absl::Status CheckSteppable(const LoadedModel& model) {
  const Network& network = model.network();
  if (network.steppable()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      network.bare() != nullptr
          ? absl::StrCat(ModelLabel(model), " is bidirectional and cannot step, InferSequence runs it")
          : absl::StrCat(ModelLabel(model),
                         " cannot step, InferSequence runs it: ", network.not_steppable()));
}

absl::Status CheckIndexes(std::span<const float> row, const LoadedModel& model, const std::string& place) {
  for (const IndexFeature& index : model.network().index_features()) {
    const float value = row[static_cast<size_t>(index.feature)];
    if (value >= 0 && value < static_cast<float>(index.size) && value == std::floor(value)) continue;
    return absl::InvalidArgumentError(absl::StrCat(place, ", ", index.feature, "] is ", value, ", ",
                                                   ModelLabel(model), " expects an index from 0 to ",
                                                   index.size - 1, " there"));
  }
  return absl::OkStatus();
}

v1::ModelSpec EncodeSpec(const LoadedModel& model) {
  v1::ModelSpec spec;
  spec.set_name(model.name());
  spec.set_version(model.version());
  return spec;
}

v1::ModelSummary EncodeSummary(const ModelStatus& status) {
  v1::ModelSummary summary;
  summary.set_name(status.name);
  summary.set_version(status.version);
  summary.set_state(EncodeState(status.state));
  summary.set_reason(status.reason);
  summary.set_compute_dtype(EncodeComputeDtype(status.compute_dtype));
  for (const std::string& label : status.labels) summary.add_labels(label);
  return summary;
}

v1::ModelDescription EncodeDescription(const LoadedModel& model) {
  const Network& network = model.network();
  v1::ModelDescription description;
  *description.mutable_summary() =
      EncodeSummary({model.name(), model.version(), ModelState::kReady, "", network.compute_dtype()});
  if (network.bare() != nullptr) DescribeGru(model.config(), &description);
  description.set_input_size(network.input_size());
  description.set_output_size(network.output_size());
  description.set_steppable(network.steppable());
  description.set_not_steppable(network.not_steppable());
  description.set_parameter_count(network.parameter_count());
  description.set_weights_sha256(model.weights_sha256());
  description.set_state_bytes_per_row(network.state_size() * static_cast<int64_t>(sizeof(float)));
  description.set_gru_cells_per_step(network.cells_per_step());
  description.set_kernel_fingerprint(network.kernel_fingerprint());
  description.set_output_name(network.output_name());
  for (const NetworkModule& module : network.modules()) {
    v1::ModelModule* const proto = description.add_modules();
    proto->set_name(module.name);
    proto->set_kind(module.kind);
    proto->set_output_size(module.output_size);
  }
  for (const NetworkState& state : network.states()) {
    v1::ModelStateSpec* const proto = description.add_states();
    proto->set_name(state.name);
    for (const int64_t dim : StateShape(state, /*batched=*/true, -1)) proto->add_shape(dim);
  }
  for (const GraphInput& input : network.inputs()) {
    v1::ModelInput* const proto = description.add_inputs();
    proto->set_name(input.name);
    proto->set_size(input.width);
  }
  for (const IndexFeature& index : network.index_features()) {
    v1::ModelIndexFeature* const proto = description.add_index_features();
    proto->set_feature(index.feature);
    proto->set_size(index.size);
  }
  return description;
}

}  // namespace gruserve::server

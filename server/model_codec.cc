#include "server/model_codec.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

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
  return repository.Find(spec.name(), spec.version());
}

absl::Status CheckSteppable(const LoadedModel& model) {
  if (model.config().steppable()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(ModelLabel(model), " is bidirectional and cannot step, InferSequence runs it"));
}

std::vector<int64_t> StateShape(const GruConfig& config, bool batched, int64_t batch_size) {
  std::vector<int64_t> shape;
  if (config.module_kind == ModuleKind::kGru) shape.push_back(config.state_blocks());
  if (batched) shape.push_back(batch_size);
  shape.push_back(config.hidden_size);
  return shape;
}

absl::Status CheckState(const TensorView& state, const std::string& field, const LoadedModel& model,
                        bool batched, int64_t batch_size) {
  const GruConfig& config = model.config();
  const std::vector<int64_t> wanted = StateShape(config, batched, batch_size);
  const bool cell = config.module_kind == ModuleKind::kGruCell;
  if (state.rank() != static_cast<int64_t>(wanted.size())) {
    const std::string form = cell ? (batched ? "[B, H]" : "[H]")
                                  : (batched ? "[layers * directions, B, H]" : "[layers * directions, H]");
    return WrongRank(field, state.rank(),
                     absl::StrCat(wanted.size(), " (", form, ") are wanted for ", ModelLabel(model),
                                  batched ? " with a batch" : " without a batch"));
  }
  for (int64_t axis = 0; axis < state.rank(); ++axis) {
    const bool is_batch = batched && axis == state.rank() - 2;
    GRUSERVE_RETURN_IF_ERROR(CheckDim(state, field, axis, wanted[static_cast<size_t>(axis)],
                                      is_batch ? "the batch" : ModelLabel(model)));
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
  return summary;
}

v1::ModelDescription EncodeDescription(const LoadedModel& model) {
  const GruConfig& config = model.config();
  v1::ModelDescription description;
  *description.mutable_summary() =
      EncodeSummary({model.name(), model.version(), ModelState::kReady, "", config.compute_dtype});
  description.set_cell_kind(config.cell_kind == CellKind::kResetBefore ? v1::CELL_KIND_RESET_BEFORE
                                                                       : v1::CELL_KIND_LINEAR_BEFORE_RESET);
  description.set_module_kind(config.module_kind == ModuleKind::kGruCell ? v1::MODULE_KIND_GRU_CELL
                                                                         : v1::MODULE_KIND_GRU);
  description.set_input_size(config.input_size);
  description.set_hidden_size(config.hidden_size);
  description.set_num_layers(config.num_layers);
  description.set_num_directions(config.num_directions);
  description.set_bias(config.bias);
  description.set_output_size(config.output_size());
  description.set_steppable(config.steppable());
  description.set_parameter_count(model.model().parameter_count());
  description.set_weights_sha256(model.weights_sha256());
  description.set_state_bytes_per_row(config.state_size() * static_cast<int64_t>(sizeof(float)));
  description.set_gru_cells_per_step(config.state_blocks());
  description.set_kernel_fingerprint(model.model().kernel_fingerprint());
  return description;
}

}  // namespace gruserve::server

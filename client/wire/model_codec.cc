#include "client/wire/model_codec.h"

namespace gruserve::client {
namespace {

ModelState DecodeState(v1::ModelState state) {
  switch (state) {
    case v1::MODEL_STATE_LOADING:
      return ModelState::kLoading;
    case v1::MODEL_STATE_READY:
      return ModelState::kReady;
    case v1::MODEL_STATE_FAILED:
      return ModelState::kFailed;
    default:
      return ModelState::kUnspecified;
  }
}

CellKind DecodeCellKind(v1::CellKind kind) {
  switch (kind) {
    case v1::CELL_KIND_LINEAR_BEFORE_RESET:
      return CellKind::kLinearBeforeReset;
    case v1::CELL_KIND_RESET_BEFORE:
      return CellKind::kResetBefore;
    default:
      return CellKind::kUnspecified;
  }
}

ModuleKind DecodeModuleKind(v1::ModuleKind kind) {
  switch (kind) {
    case v1::MODULE_KIND_GRU:
      return ModuleKind::kGru;
    case v1::MODULE_KIND_GRU_CELL:
      return ModuleKind::kGruCell;
    default:
      return ModuleKind::kUnspecified;
  }
}

ComputeDtype DecodeComputeDtype(v1::ComputeDtype dtype) {
  switch (dtype) {
    case v1::COMPUTE_DTYPE_F32:
      return ComputeDtype::kF32;
    case v1::COMPUTE_DTYPE_BF16:
      return ComputeDtype::kBf16;
    default:
      return ComputeDtype::kUnspecified;
  }
}

}  // namespace

const char* Name(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return "LOADING";
    case ModelState::kReady:
      return "READY";
    case ModelState::kFailed:
      return "FAILED";
    case ModelState::kUnspecified:
      break;
  }
  return "UNSPECIFIED";
}

const char* Name(CellKind kind) {
  switch (kind) {
    case CellKind::kLinearBeforeReset:
      return "linear-before-reset";
    case CellKind::kResetBefore:
      return "reset-before";
    case CellKind::kUnspecified:
      break;
  }
  return "unspecified";
}

const char* Name(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kGru:
      return "GRU";
    case ModuleKind::kGruCell:
      return "GRUCell";
    case ModuleKind::kUnspecified:
      break;
  }
  return "unspecified";
}

const char* Name(ComputeDtype dtype) {
  switch (dtype) {
    case ComputeDtype::kF32:
      return "f32";
    case ComputeDtype::kBf16:
      return "bf16";
    case ComputeDtype::kUnspecified:
      break;
  }
  return "-";
}

void EncodeModelSpec(const ModelSpec& spec, v1::ModelSpec* proto) {
  proto->set_name(spec.name);
  proto->set_version(spec.version);
  proto->set_label(spec.label);
}

ModelSpec DecodeModelSpec(const v1::ModelSpec& proto) { return {proto.name(), proto.version()}; }

ModelSummary DecodeModelSummary(const v1::ModelSummary& proto) {
  return {proto.name(),
          proto.version(),
          DecodeState(proto.state()),
          proto.reason(),
          DecodeComputeDtype(proto.compute_dtype()),
          {proto.labels().begin(), proto.labels().end()}};
}

std::vector<ModelSummary> DecodeModelSummaries(
    const google::protobuf::RepeatedPtrField<v1::ModelSummary>& protos) {
  std::vector<ModelSummary> models;
  for (const v1::ModelSummary& proto : protos) models.push_back(DecodeModelSummary(proto));
  return models;
}

ModelDescription DecodeModelDescription(const v1::ModelDescription& proto) {
  ModelDescription model;
  model.summary = DecodeModelSummary(proto.summary());
  model.cell_kind = DecodeCellKind(proto.cell_kind());
  model.module_kind = DecodeModuleKind(proto.module_kind());
  model.input_size = proto.input_size();
  model.hidden_size = proto.hidden_size();
  model.num_layers = proto.num_layers();
  model.num_directions = proto.num_directions();
  model.bias = proto.bias();
  model.output_size = proto.output_size();
  model.steppable = proto.steppable();
  model.parameter_count = proto.parameter_count();
  model.weights_sha256 = proto.weights_sha256();
  model.state_bytes_per_row = proto.state_bytes_per_row();
  model.gru_cells_per_step = proto.gru_cells_per_step();
  model.kernel_fingerprint = proto.kernel_fingerprint();
  for (const v1::ModelModule& module : proto.modules())
    model.modules.push_back({module.name(), module.kind(), module.output_size()});
  for (const v1::ModelStateSpec& state : proto.states())
    model.states.push_back({state.name(), {state.shape().begin(), state.shape().end()}});
  for (const v1::ModelInput& input : proto.inputs()) model.inputs.push_back({input.name(), input.size()});
  model.output_name = proto.output_name();
  model.not_steppable = proto.not_steppable();
  return model;
}

}  // namespace gruserve::client

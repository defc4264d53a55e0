#include "server/model_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/model_codec.h"
#include "server/unary_call.h"

namespace gruserve::server {
namespace {

// Whether `spec` names a model, or a version of it, to load or to unload.
absl::Status CheckChange(const v1::ModelSpec& spec) {
  if (spec.name().empty())
    return absl::InvalidArgumentError("model.name is empty, a model's name is required");
  if (!spec.label().empty()) {
    return absl::InvalidArgumentError(
        "model.label is set, a version's number or 0 is wanted here: versions.json says what a label names");
  }
  if (spec.version() >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("model.version is ", spec.version(), ", a version's number or 0 for all is wanted"));
}

// Completes `call` with what the repository answers.
template <typename Response>
ModelRepository::Done Answer(UnaryCall* call, Response* response) {
  return [call, response](absl::StatusOr<std::vector<ModelStatus>> models) {
    if (models.ok()) {
      for (const ModelStatus& status : *models) *response->add_models() = EncodeSummary(status);
    }
    call->Complete(models.status());
  };
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext*, const v1::ListModelsRequest*,
                                                   v1::ListModelsResponse* response) {
  return AnswerNow(backend_->observer, "ListModels", [&] {
    for (const ModelStatus& status : backend_->models->List())
      *response->add_models() = EncodeSummary(status);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext*,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return AnswerNow(backend_->observer, "GetModel", [&]() -> absl::Status {
    GRUSERVE_ASSIGN_OR_RETURN(const ModelHandle model,
                              FindModel(*backend_->models, request->model(), "model"));
    *response->mutable_model() = EncodeDescription(*model);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ModelService::LoadModel(grpc::CallbackServerContext*,
                                                  const v1::LoadModelRequest* request,
                                                  v1::LoadModelResponse* response) {
  auto* call = new UnaryCall(backend_->observer, "LoadModel");
  const v1::ModelSpec& model = request->model();
  const absl::Status sound = CheckChange(model);
  if (sound.ok()) {
    backend_->models->LoadModel(model.name(), model.version(), Answer(call, response));
  } else {
    call->Complete(sound);
  }
  return call;
}

grpc::ServerUnaryReactor* ModelService::UnloadModel(grpc::CallbackServerContext*,
                                                    const v1::UnloadModelRequest* request,
                                                    v1::UnloadModelResponse* response) {
  auto* call = new UnaryCall(backend_->observer, "UnloadModel");
  const v1::ModelSpec& model = request->model();
  const absl::Status sound = CheckChange(model);
  if (sound.ok()) {
    backend_->models->UnloadModel(model.name(), model.version(), Answer(call, response));
  } else {
    call->Complete(sound);
  }
  return call;
}

}  // namespace gruserve::server

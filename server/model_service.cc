#include "server/model_service.h"

#include "core/base/status_macros.h"
#include "server/model_codec.h"
#include "server/unary_call.h"

namespace gruserve::server {

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

}  // namespace gruserve::server

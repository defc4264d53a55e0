// gruserve.v1.ModelService: what the repository holds, and how it changes. Thread-safe.

#ifndef GRUSERVE_SERVER_MODEL_SERVICE_H_
#define GRUSERVE_SERVER_MODEL_SERVICE_H_

#include "gruserve/v1/model_service.grpc.pb.h"
#include "server/backend.h"

namespace gruserve::server {

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(const Backend* backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* LoadModel(grpc::CallbackServerContext* context,
                                      const v1::LoadModelRequest* request,
                                      v1::LoadModelResponse* response) override;
  grpc::ServerUnaryReactor* UnloadModel(grpc::CallbackServerContext* context,
                                        const v1::UnloadModelRequest* request,
                                        v1::UnloadModelResponse* response) override;

 private:
  const Backend* const backend_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_MODEL_SERVICE_H_

// gruserve.v1.InferenceService: each method hands over to the class that is one
// such call. Thread-safe.

#ifndef GRUSERVE_SERVER_INFERENCE_SERVICE_H_
#define GRUSERVE_SERVER_INFERENCE_SERVICE_H_

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "server/backend.h"

namespace gruserve::server {

class InferenceService final : public v1::InferenceService::CallbackService {
 public:
  explicit InferenceService(const Backend* backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* InferSequence(grpc::CallbackServerContext* context,
                                          const v1::InferSequenceRequest* request,
                                          v1::InferSequenceResponse* response) override;
  grpc::ServerUnaryReactor* InferCell(grpc::CallbackServerContext* context,
                                      const v1::InferCellRequest* request,
                                      v1::InferCellResponse* response) override;
  grpc::ServerUnaryReactor* Step(grpc::CallbackServerContext* context, const v1::StepRequest* request,
                                 v1::StepResponse* response) override;
  grpc::ServerBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse>* StreamSteps(
      grpc::CallbackServerContext* context) override;

 private:
  const Backend* const backend_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_INFERENCE_SERVICE_H_

#include "server/inference_service.h"

#include "absl/time/time.h"
#include "server/infer_cell_call.h"
#include "server/infer_sequence_call.h"
#include "server/step_call.h"
#include "server/step_stream_reactor.h"
#include "server/tenants.h"

namespace gruserve::server {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  return absl::FromChrono(context.deadline());
}

}  // namespace

grpc::ServerUnaryReactor* InferenceService::InferSequence(grpc::CallbackServerContext* context,
                                                          const v1::InferSequenceRequest* request,
                                                          v1::InferSequenceResponse* response) {
  return InferSequenceCall::Start(*backend_, DeadlineOf(*context), backend_->tenants->Of(*context), *request,
                                  response);
}

grpc::ServerUnaryReactor* InferenceService::InferCell(grpc::CallbackServerContext* context,
                                                      const v1::InferCellRequest* request,
                                                      v1::InferCellResponse* response) {
  return InferCellCall::Start(*backend_, DeadlineOf(*context), backend_->tenants->Of(*context), *request,
                              response);
}

grpc::ServerUnaryReactor* InferenceService::Step(grpc::CallbackServerContext* context,
                                                 const v1::StepRequest* request, v1::StepResponse* response) {
  return StepCall::Start(*backend_, DeadlineOf(*context), *request, response);
}

grpc::ServerBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse>* InferenceService::StreamSteps(
    grpc::CallbackServerContext* context) {
  return StepStreamReactor::Start(backend_, backend_->tenants->Of(*context));
}

}  // namespace gruserve::server

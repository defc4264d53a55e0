#include "server/infer_cell_call.h"

#include "core/base/status_macros.h"
#include "server/model_codec.h"

namespace gruserve::server {

grpc::ServerUnaryReactor* InferCellCall::Start(const Backend& backend, absl::Time when_due, Tenant* caller,
                                               const v1::InferCellRequest& request,
                                               v1::InferCellResponse* response) {
  auto* task = new InferCellCall(backend, when_due, response);
  task->tenant = caller;
  if (const absl::Status status = task->Submit(request); !status.ok()) task->Complete(status);
  return task;
}

InferCellCall::InferCellCall(const Backend& backend, absl::Time when_due, v1::InferCellResponse* response)
    : UnaryCall(backend.observer, "InferCell"), backend_(backend), response_(response) {
  deadline = when_due;
}

absl::Status InferCellCall::Submit(const v1::InferCellRequest& request) {
  GRUSERVE_ASSIGN_OR_RETURN(slot_, backend_.gate->Enter());
  GRUSERVE_ASSIGN_OR_RETURN(handle_, FindModel(*backend_.models, request.model(), "model"));
  GRUSERVE_ASSIGN_OR_RETURN(plan_, PlanCell(request, *handle_, backend_.max_result_bytes, response_));
  *response_->mutable_model() = EncodeSpec(*handle_);
  response_->set_gru_cell_count(1);
  model = handle_.get();
  rows = plan_.rows;
  if (!rows.empty()) return backend_.executor->SubmitStep(this);
  OnStepDone(absl::OkStatus());
  return absl::OkStatus();
}

void InferCellCall::OnStepDone(const absl::Status& status) {
  if (status.ok()) FinishTensor(plan_.form, response_->mutable_h());
  Complete(status);
}

}  // namespace gruserve::server

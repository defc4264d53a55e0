#include "server/step_call.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "server/unary_sink.h"

namespace gruserve::server {

grpc::ServerUnaryReactor* StepCall::Start(const Backend& backend, absl::Time deadline,
                                          const v1::StepRequest& request, v1::StepResponse* response) {
  auto* call = new StepCall(backend, response);
  const absl::Status status = call->Submit(request, deadline);
  if (!status.ok()) call->Complete(status);
  return call;
}

StepCall::StepCall(const Backend& backend, v1::StepResponse* response)
    : UnaryCall(backend.observer, "Step"), backend_(backend), response_(response) {}

absl::Status StepCall::Submit(const v1::StepRequest& request, absl::Time deadline) {
  GRUSERVE_RETURN_IF_ERROR(backend_.gate->CheckOpen());
  GRUSERVE_RETURN_IF_ERROR(CheckSessionId(request.session_id()));
  GRUSERVE_ASSIGN_OR_RETURN(session_, backend_.sessions->FindDetached(request.session_id()));
  SessionOp op = DecodeStep(request.step(), *session_, backend_.step_limits, backend_.clock->Now());
  op.deadline = std::min(op.deadline, deadline);
  op.received = backend_.clock->Now();
  session_->Submit(std::move(op),
                   std::make_shared<UnarySink>([this](const SessionOp& done, const SessionOpResult& result) {
                     OnStepDone(done, result);
                   }));
  return absl::OkStatus();
}

void StepCall::OnStepDone(const SessionOp& op, const SessionOpResult& result) {
  backend_.metrics->CountSteps(op.time_steps, result.status.code(), backend_.clock->Now() - op.received);
  if (result.status.ok()) EncodeStep(op, result, *session_, response_->mutable_output());
  Complete(result.status);
}

}  // namespace gruserve::server

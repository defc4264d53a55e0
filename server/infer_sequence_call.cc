#include "server/infer_sequence_call.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/model_codec.h"

namespace gruserve::server {

grpc::ServerUnaryReactor* InferSequenceCall::Start(const Backend& backend, absl::Time when_due,
                                                   Tenant* caller, const v1::InferSequenceRequest& request,
                                                   v1::InferSequenceResponse* response) {
  auto* task = new InferSequenceCall(backend, when_due, request, response);
  task->tenant = caller;
  if (const absl::Status status = task->Submit(); !status.ok()) task->Complete(status);
  return task;
}

InferSequenceCall::InferSequenceCall(const Backend& backend, absl::Time when_due,
                                     const v1::InferSequenceRequest& request,
                                     v1::InferSequenceResponse* response)
    : UnaryCall(backend.observer, "InferSequence"),
      backend_(backend),
      request_(request),
      response_(response),
      begin_(backend.clock->Now()) {
  deadline = when_due;
}

absl::Status InferSequenceCall::Submit() {
  GRUSERVE_ASSIGN_OR_RETURN(slot_, backend_.gate->Enter());
  GRUSERVE_ASSIGN_OR_RETURN(handle_, FindModel(*backend_.models, request_.model(), "model"));
  GRUSERVE_ASSIGN_OR_RETURN(plan_, PlanSequence(request_, *handle_, backend_.max_result_bytes, response_));
  GRUSERVE_RETURN_IF_ERROR(CheckKeepSession());
  model = handle_.get();
  call = plan_.call;
  if (call.batch_size > 0) return backend_.executor->SubmitSequence(this);
  OnSequenceDone(absl::OkStatus());
  return absl::OkStatus();
}

absl::Status InferSequenceCall::CheckKeepSession() const {
  if (!request_.has_keep_session()) return absl::OkStatus();
  const v1::OpenSession& keep = request_.keep_session();
  const std::string prefix = "keep_session.";
  GRUSERVE_RETURN_IF_ERROR(CheckOpenTerms(keep, prefix));
  const absl::Status durable = backend_.opener->CheckDurability(DecodeOpenTerms(keep).durability);
  if (!durable.ok())
    return absl::Status(durable.code(), absl::StrCat(prefix, std::string(durable.message())));
  const char* const given = keep.has_model()         ? "model"
                            : keep.batch_size() != 0 ? "batch_size"
                            : keep.has_h_0()         ? "h_0"
                            : keep.states_size() > 0 ? "states"
                                                     : nullptr;
  if (given != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, given, " is set, it comes from the call: none is wanted"));
  }
  if (keep.mode() == v1::OPEN_MODE_RESUME || keep.mode() == v1::OPEN_MODE_CREATE_OR_RESUME) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, "mode is ", v1::OpenMode_Name(keep.mode()), ", CREATE is wanted"));
  }
  if (plan_.call.batch_size == 0) {
    return absl::InvalidArgumentError("the batch has 0 rows, a session wants at least 1");
  }
  return CheckSteppable(*handle_);
}

void InferSequenceCall::KeepSession() {
  OpenSessionOptions options = DecodeOpenTerms(request_.keep_session());
  options.model = handle_;
  options.batch_size = plan_.batched ? plan_.call.batch_size : 0;
  options.h_0 = plan_.states.Get();
  backend_.opener->Open(std::move(options), [this](const absl::StatusOr<std::shared_ptr<Session>>& session) {
    if (session.ok()) *response_->mutable_session() = EncodeInfo((*session)->Describe());
    Answer(session.status());
  });
}

void InferSequenceCall::OnSequenceDone(const absl::Status& status) {
  if (status.ok() && request_.has_keep_session()) {
    KeepSession();
  } else {
    Answer(status);
  }
}

void InferSequenceCall::Answer(const absl::Status& outcome) {
  if (outcome.ok()) {
    EncodeSequence(plan_, *handle_, response_);
    backend_.metrics->CountSequence(plan_.row_steps, backend_.clock->Now() - begin_);
  }
  Complete(outcome);
}

}  // namespace gruserve::server

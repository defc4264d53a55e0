// Sessions, steps and their errors on the wire, as plain values.

#ifndef GRUSERVE_CLIENT_WIRE_SESSION_CODEC_H_
#define GRUSERVE_CLIENT_WIRE_SESSION_CODEC_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/session_info.h"
#include "client/step_stream.h"
#include "gruserve/v1/inference_service.pb.h"
#include "gruserve/v1/session.pb.h"

namespace gruserve::client {

// Adds this process's `client_instance`, by which it may resume its own sessions.
void EncodeOpen(const OpenOptions& options, v1::OpenSession* proto);
v1::Durability EncodeDurability(Durability durability);
SessionInfo DecodeSessionInfo(const v1::SessionInfo& proto);

void EncodeStep(const Tensor& input, const StepOptions& options, v1::StepInput* proto);
absl::StatusOr<StepResult> DecodeStep(const v1::StepOutput& proto);
StateResult DecodeStateSet(const v1::StateSet& proto);

// The error as a status, from which SessionErrorOf gets the rest.
absl::Status DecodeError(const v1::SessionError& proto);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_SESSION_CODEC_H_

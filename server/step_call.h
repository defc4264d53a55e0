// One Step RPC: one operation of a session that no stream holds.

#ifndef GRUSERVE_SERVER_STEP_CALL_H_
#define GRUSERVE_SERVER_STEP_CALL_H_

#include <grpcpp/support/server_callback.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/session/session.h"
#include "gruserve/v1/inference_service.pb.h"
#include "server/backend.h"
#include "server/unary_call.h"

namespace gruserve::server {

// Deletes itself.
class StepCall final : public UnaryCall {
 public:
  static grpc::ServerUnaryReactor* Start(const Backend& backend, absl::Time deadline,
                                         const v1::StepRequest& request, v1::StepResponse* response);

 private:
  StepCall(const Backend& backend, v1::StepResponse* response);

  // Validate, find the session, hand over.
  absl::Status Submit(const v1::StepRequest& request, absl::Time deadline);
  void OnStepDone(const SessionOp& op, const SessionOpResult& result);

  const Backend& backend_;
  v1::StepResponse* const response_;
  std::shared_ptr<Session> session_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STEP_CALL_H_

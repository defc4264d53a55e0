// One InferCell RPC: one step of its rows, batched with the steps of sessions.

#ifndef GRUSERVE_SERVER_INFER_CELL_CALL_H_
#define GRUSERVE_SERVER_INFER_CELL_CALL_H_

#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/runtime/executor.h"
#include "gruserve/v1/inference_service.pb.h"
#include "server/backend.h"
#include "server/sequence_codec.h"
#include "server/unary_call.h"

namespace gruserve::server {

// Deletes itself.
class InferCellCall final : public UnaryCall, private StepTask {
 public:
  static grpc::ServerUnaryReactor* Start(const Backend& backend, absl::Time when_due, Tenant* caller,
                                         const v1::InferCellRequest& request,
                                         v1::InferCellResponse* response);

 private:
  InferCellCall(const Backend& backend, absl::Time when_due, v1::InferCellResponse* response);

  // Validate, get the handle, hand over.
  absl::Status Submit(const v1::InferCellRequest& request);
  void OnStepDone(const absl::Status& status) override;

  const Backend& backend_;
  v1::InferCellResponse* const response_;
  CallGate::Slot slot_;
  ModelHandle handle_;
  CellPlan plan_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_INFER_CELL_CALL_H_

// One InferSequence RPC: a sequence handed to the executor.

#ifndef GRUSERVE_SERVER_INFER_SEQUENCE_CALL_H_
#define GRUSERVE_SERVER_INFER_SEQUENCE_CALL_H_

#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/runtime/executor.h"
#include "gruserve/v1/inference_service.pb.h"
#include "server/backend.h"
#include "server/sequence_codec.h"
#include "server/unary_call.h"

namespace gruserve::server {

// Deletes itself. Cancelling the RPC ends a sequence that waits or runs.
class InferSequenceCall final : public UnaryCall, private SequenceTask {
 public:
  static grpc::ServerUnaryReactor* Start(const Backend& backend, absl::Time when_due, Tenant* caller,
                                         const v1::InferSequenceRequest& request,
                                         v1::InferSequenceResponse* response);

 private:
  InferSequenceCall(const Backend& backend, absl::Time when_due, const v1::InferSequenceRequest& request,
                    v1::InferSequenceResponse* response);

  // Validate, get the handle, hand over.
  absl::Status Submit();
  absl::Status CheckKeepSession() const;
  void OnSequenceDone(const absl::Status& status) override;
  // Then Answer.
  void KeepSession();
  void Answer(const absl::Status& outcome);
  void OnCancel() override { cancelled = true; }

  const Backend& backend_;
  const v1::InferSequenceRequest& request_;
  v1::InferSequenceResponse* const response_;
  const absl::Time begin_;
  CallGate::Slot slot_;
  ModelHandle handle_;
  SequencePlan plan_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_INFER_SEQUENCE_CALL_H_

// One unary RPC: observed, finished once, deleted when gRPC is done with it.

#ifndef GRUSERVE_SERVER_UNARY_CALL_H_
#define GRUSERVE_SERVER_UNARY_CALL_H_

#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/call_observer.h"
#include "server/grpc_status.h"

namespace gruserve::server {

class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(CallObserver* observer, std::string method) : observed_(observer->Begin(std::move(method))) {}

  // Answers the RPC. REQUIRES: called once; `this` may be gone afterwards.
  void Complete(const absl::Status& status) {
    observed_.End(status);
    Finish(ToGrpcStatus(status));
  }

  void OnDone() override { delete this; }
  // OnDone and OnCancel may run on the thread where they come up, as gRPC's own reactor
  // has it, rather than on one that has to be woken for them. gRPC does not call this
  // its API; without it only that is lost.
  bool InternalInlineable() override { return true; }

 private:
  ObservedCall observed_;
};

// A call that `work` answers on the spot.
template <typename Work>
grpc::ServerUnaryReactor* AnswerNow(CallObserver* observer, std::string method, Work work) {
  auto* call = new UnaryCall(observer, std::move(method));
  call->Complete(work());
  return call;
}

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_UNARY_CALL_H_

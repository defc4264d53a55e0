// Has a function called by one of gRPC's polling threads, behind what is in their
// queue already: where one thread polls and calls Start, when it has dealt with the
// messages that it has at hand.
//
// gRPC has no such thing. This is a call on a channel that cannot work, which fails
// at once; its callback waits in that queue like any other (4 us all in all).
//
// Start is for one thread at a time. The destructor waits for the function.

#ifndef GRUSERVE_SERVER_POLLER_CALL_H_
#define GRUSERVE_SERVER_POLLER_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace gruserve::server {

class PollerCall {
 public:
  explicit PollerCall(std::function<void()> function);
  ~PollerCall();
  PollerCall(const PollerCall&) = delete;
  PollerCall& operator=(const PollerCall&) = delete;

  // The function may call it too, for one more time. REQUIRES: the function has begun since
  // the last call.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const std::function<void()> function_;
  grpc::GenericStub stub_;
  grpc::ByteBuffer request_;

  grpc::ByteBuffer response_;
  std::optional<grpc::ClientContext> context_;  // Of the last call.

  absl::Mutex mu_;
  int started_ ABSL_GUARDED_BY(mu_) = 0;  // Calls whose function has not returned.
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_POLLER_CALL_H_

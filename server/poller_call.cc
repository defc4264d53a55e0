#include "server/poller_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/slice.h>

#include <utility>

namespace gruserve::server {
namespace {

// gRPC refuses to send a message that holds nothing.
grpc::ByteBuffer AnyMessage() {
  const grpc::Slice byte(" ");
  return grpc::ByteBuffer(&byte, 1);
}

}  // namespace

PollerCall::PollerCall(std::function<void()> function)
    : function_(std::move(function)), stub_(grpc::CreateChannel("none", nullptr)), request_(AnyMessage()) {}

PollerCall::~PollerCall() {
  const absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](int* started) { return *started == 0; }, &started_));
}

void PollerCall::Start() {
  {
    const absl::MutexLock lock(&mu_);
    ++started_;
  }
  context_.emplace();
  stub_.UnaryCall(&*context_, "/none/None", grpc::StubOptions(), &request_, &response_,
                  [this](const grpc::Status&) { Run(); });
}

void PollerCall::Run() {
  function_();
  const absl::MutexLock lock(&mu_);
  --started_;
}

}  // namespace gruserve::server

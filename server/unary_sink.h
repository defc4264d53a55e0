// A session's sink for one operation from outside of any stream.

#ifndef GRUSERVE_SERVER_UNARY_SINK_H_
#define GRUSERVE_SERVER_UNARY_SINK_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "core/session/session_op.h"

namespace gruserve::server {

// Thread-safe: it gets one result and keeps nothing.
class UnarySink final : public SessionSink {
 public:
  using Done = std::function<void(const SessionOp&, const SessionOpResult&)>;

  explicit UnarySink(Done done) : done_(std::move(done)) {}

  void OnOpDone(const SessionOp& op, const SessionOpResult& result) override { done_(op, result); }
  // No session is ever attached here.
  void OnDetached(uint64_t, const absl::Status&, SessionErrorReason, uint64_t) override {}

 private:
  const Done done_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_UNARY_SINK_H_

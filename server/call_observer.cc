#include "server/call_observer.h"

#include "core/base/log.h"
#include "server/message_text.h"

namespace gruserve::server {

void ObservedCall::End(const absl::Status& status) { observer_->End(method_, begin_, status); }

void CallObserver::End(const std::string& method, absl::Time begin, const absl::Status& status) {
  const absl::Duration took = clock_->Now() - begin;
  metrics_->CountRpc(method, status.code(), took);
  // Only what is our own fault is worth a line by default.
  const LogLevel level = status.code() == absl::StatusCode::kInternal ? LogLevel::kError : LogLevel::kDebug;
  Log(level, "rpc", {{"method", method},
                     {"code", status.ok() ? "OK" : absl::StatusCodeToString(status.code())},
                     {"us", absl::ToInt64Microseconds(took)},
                     {"message", MessageText(status)}});
}

}  // namespace gruserve::server

#include "server/call_observer.h"

#include "core/base/log.h"
#include "server/message_text.h"

namespace gruserve::server {

void ObservedCall::End(const absl::Status& status) { observer_->End(method_, begin_, status); }

ObservedCall::~ObservedCall() {
  if (observer_ != nullptr) observer_->Leave();
}

ObservedCall CallObserver::Begin(std::string method) {
  {
    const absl::MutexLock lock(&mu_);
    ++running_;
  }
  return {this, std::move(method), clock_->Now()};
}

void CallObserver::Leave() {
  const absl::MutexLock lock(&mu_);
  --running_;
}

bool CallObserver::WaitUntilIdle(absl::Duration timeout) {
  const absl::MutexLock lock(&mu_);
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return running_ == 0; };
  return mu_.AwaitWithTimeout(absl::Condition(&idle), timeout);
}

void CallObserver::End(const std::string& method, absl::Time begin, const absl::Status& status) {
  const absl::Duration took = clock_->Now() - begin;
  metrics_->CountRpc(method, status.code(), took);
  // Only what is our own fault is worth a line by default.
  const LogLevel level = status.code() == absl::StatusCode::kInternal ? LogLevel::kError : LogLevel::kDebug;
  Log(level, "rpc",
      {{"method", method},
       {"code", status.ok() ? "OK" : absl::StatusCodeToString(status.code())},
       {"us", absl::ToInt64Microseconds(took)},
       {"message", MessageText(status)}});
}

}  // namespace gruserve::server

#include "server/call_gate.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace gruserve::server {

absl::Status DrainingStatus() {
  return absl::UnavailableError("the server is shutting down: try again, another one may answer");
}

CallGate::Slot& CallGate::Slot::operator=(Slot&& other) noexcept {
  if (this != &other) {
    Leave();
    gate_ = std::exchange(other.gate_, nullptr);
  }
  return *this;
}

void CallGate::Slot::Leave() {
  if (gate_ != nullptr) gate_->Leave();
}

absl::StatusOr<CallGate::Slot> CallGate::Enter() {
  const absl::MutexLock lock(&mu_);
  if (closed_) return DrainingStatus();
  if (max_calls_ > 0 && calls_ >= max_calls_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(calls_, " calls are in flight, ", max_calls_, " are allowed: try again later"));
  }
  ++calls_;
  return Slot(this);
}

absl::Status CallGate::CheckOpen() const {
  const absl::MutexLock lock(&mu_);
  return closed_ ? DrainingStatus() : absl::OkStatus();
}

void CallGate::Close() {
  const absl::MutexLock lock(&mu_);
  closed_ = true;
}

void CallGate::Leave() {
  const absl::MutexLock lock(&mu_);
  --calls_;
}

}  // namespace gruserve::server

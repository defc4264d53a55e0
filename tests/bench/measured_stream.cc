#include "tests/bench/measured_stream.h"

#include <algorithm>

#include "tests/bench/process_meter.h"
#include "tests/bench/step_messages.h"

namespace gruserve::bench {
namespace {

constexpr int kOpensAMessage = 1000;

}  // namespace

MeasuredStream::MeasuredStream(const LoadOptions& options, int sessions, RunWindow* window, Countdown* opened,
                               Countdown* ended)
    : window_(window),
      unopened_(sessions),
      step_(StepMessage(options.input_size, options.sessions_per_stream)),
      opened_(opened),
      ended_(ended),
      model_(options.model),
      sessions_(sessions) {}

void MeasuredStream::Start(v1::InferenceService::Stub* stub) {
  stub->async()->StreamSteps(&context_, this);
  AddHold();  // Steps are begun from outside.
  {
    const absl::MutexLock lock(&mu_);
    WriteOpens();
  }
  StartRead(&response_);
  StartCall();
}

bool MeasuredStream::WriteOpens() {
  const int count = std::min(kOpensAMessage, sessions_ - asked_for_);
  if (count == 0) return false;
  open_ = OpenMessage(model_, asked_for_ + 1, count);
  asked_for_ += count;
  StartWrite(&open_);
  return true;
}

void MeasuredStream::OnReadDone(bool ok) {
  if (!ok) {
    const absl::MutexLock lock(&mu_);
    if (unopened_ > 0) opened_->Down();
    return;
  }
  {
    const int64_t now = NowNanos();
    const absl::MutexLock lock(&mu_);
    for (const v1::SessionEvent& event : response_.events()) {
      if (!event.has_opened()) {
        Count(event, now);
      } else if (--unopened_ == 0) {
        opened_->Down();
      }
    }
    MaybeWrite();
  }
  StartRead(&response_);
}

void MeasuredStream::OnWriteDone(bool ok) {
  if (!ok) return;
  const absl::MutexLock lock(&mu_);
  if (WriteOpens()) return;
  writing_ = false;
  MaybeWrite();
}

void MeasuredStream::OnDone(const grpc::Status& status) {
  if (!status.ok()) window_->Fail("stream: " + status.error_message());
  ended_->Down();
}

void MeasuredStream::Fail(const v1::SessionError& error) {
  window_->Fail("session: " + error.message());
  context_.TryCancel();
}

}  // namespace gruserve::bench

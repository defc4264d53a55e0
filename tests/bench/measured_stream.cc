#include "tests/bench/measured_stream.h"

#include "tests/bench/process_meter.h"
#include "tests/bench/step_messages.h"

namespace gruserve::bench {

MeasuredStream::MeasuredStream(const LoadOptions& options, int sessions, RunWindow* window, Countdown* opened,
                               Countdown* ended)
    : window_(window),
      unopened_(sessions),
      step_(StepMessage(options.input_size, sessions)),
      opened_(opened),
      ended_(ended),
      open_(OpenMessage(options.model, sessions)) {}

void MeasuredStream::Start(v1::InferenceService::Stub* stub) {
  stub->async()->StreamSteps(&context_, this);
  AddHold();  // Steps are begun from outside.
  StartWrite(&open_);
  StartRead(&response_);
  StartCall();
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

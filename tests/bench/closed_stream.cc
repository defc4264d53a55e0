#include "tests/bench/closed_stream.h"

#include <cstddef>

#include "tests/bench/process_meter.h"
#include "tests/bench/step_messages.h"

namespace gruserve::bench {

ClosedStream::ClosedStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended)
    : sessions_(options.sessions_per_stream),
      max_in_flight_(options.messages_in_flight),
      window_(window),
      opened_(opened),
      ended_(ended),
      open_(OpenMessage(options.model, sessions_)),
      step_(StepMessage(options.input_size, sessions_)),
      unopened_(sessions_),
      messages_(static_cast<size_t>(max_in_flight_)),
      answered_(static_cast<size_t>(sessions_)) {}

void ClosedStream::Start(v1::InferenceService::Stub* stub) {
  stub->async()->StreamSteps(&context_, this);
  AddHold();  // Until Begin, which is called from outside.
  StartWrite(&open_);
  StartRead(&response_);
  StartCall();
}

void ClosedStream::Begin() {
  {
    const absl::MutexLock lock(&mu_);
    to_send_ = max_in_flight_;
    in_flight_ = max_in_flight_;
    MaybeWrite();
  }
  RemoveHold();
}

void ClosedStream::OnReadDone(bool ok) {
  if (!ok) {
    const absl::MutexLock lock(&mu_);
    if (unopened_ > 0) opened_->Down();
    return;
  }
  {
    const int64_t now = NowNanos();
    const absl::MutexLock lock(&mu_);
    for (const v1::SessionEvent& event : response_.events()) Count(event, now);
    MaybeWrite();
  }
  StartRead(&response_);
}

void ClosedStream::OnWriteDone(bool ok) {
  if (!ok) return;
  const absl::MutexLock lock(&mu_);
  writing_ = false;
  MaybeWrite();
}

void ClosedStream::OnDone(const grpc::Status& status) {
  if (!status.ok()) window_->Fail("stream: " + status.error_message());
  ended_->Down();
}

void ClosedStream::Count(const v1::SessionEvent& event, int64_t now) {
  if (event.has_output()) return CountOutput(event.session(), now);
  if (event.has_opened()) {
    if (--unopened_ == 0) opened_->Down();
  } else if (event.has_error()) {
    window_->Fail("session: " + event.error().message());
    context_.TryCancel();
  }
}

void ClosedStream::CountOutput(uint32_t session, int64_t now) {
  const bool counts = window_->Contains(now);
  steps_ += counts ? 1 : 0;
  // A session answers in order: its n-th output belongs to the n-th message.
  const auto number = static_cast<size_t>(answered_[session - 1]++);
  Message& message = messages_[number % messages_.size()];
  if (--message.unanswered > 0) return;
  if (counts) latencies_.Add(now - message.sent);
  --in_flight_;
  if (window_->IsOver(now)) return;
  ++in_flight_;
  ++to_send_;
}

void ClosedStream::MaybeWrite() {
  if (writing_ || closing_) return;
  if (to_send_ > 0) {
    --to_send_;
    writing_ = true;
    messages_[static_cast<size_t>(sent_++) % messages_.size()] = {NowNanos(), sessions_};
    StartWrite(&step_);
  } else if (in_flight_ == 0 && sent_ > 0) {
    closing_ = true;
    StartWritesDone();
  }
}

}  // namespace gruserve::bench

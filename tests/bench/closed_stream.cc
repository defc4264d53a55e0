#include "tests/bench/closed_stream.h"

#include <cstddef>

#include "tests/bench/process_meter.h"

namespace gruserve::bench {

ClosedStream::ClosedStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended)
    : MeasuredStream(options, options.sessions_per_stream, window, opened, ended),
      sessions_(options.sessions_per_stream),
      max_in_flight_(options.messages_in_flight),
      messages_(static_cast<size_t>(max_in_flight_)),
      answered_(static_cast<size_t>(sessions_)) {}

void ClosedStream::Begin() {
  {
    const absl::MutexLock lock(&mu_);
    to_send_ = max_in_flight_;
    in_flight_ = max_in_flight_;
    MaybeWrite();
  }
  RemoveHold();
}

void ClosedStream::Count(const v1::SessionEvent& event, int64_t now) {
  if (event.has_output()) CountOutput(event.session(), now);
  if (event.has_error()) Fail(event.error());
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
  if (writing_ || closed_) return;
  if (to_send_ > 0) {
    --to_send_;
    writing_ = true;
    messages_[static_cast<size_t>(sent_++) % messages_.size()] = {NowNanos(), sessions_};
    StartWrite(&step_);
  } else if (in_flight_ == 0 && sent_ > 0) {
    closed_ = true;
    StartWritesDone();
  }
}

}  // namespace gruserve::bench

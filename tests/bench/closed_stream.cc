#include "tests/bench/closed_stream.h"

#include <cstddef>

#include "tests/bench/process_meter.h"

namespace gruserve::bench {
namespace {

int LiveSessions(const LoadOptions& options) {
  return options.live_sessions > 0 ? options.live_sessions : options.sessions_per_stream;
}

}  // namespace

ClosedStream::ClosedStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended)
    : MeasuredStream(options, LiveSessions(options), window, opened, ended),
      sessions_(options.sessions_per_stream),
      live_(LiveSessions(options)),
      max_in_flight_(options.messages_in_flight),
      answered_(static_cast<size_t>(live_)) {}

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
  // A session answers in order, and is in every (live / sessions)th message.
  const auto place = static_cast<int64_t>(session - 1);
  const int64_t number = place / sessions_ + answered_[session - 1]++ * (live_ / sessions_);
  const auto message = messages_.find(number);
  if (--message->second.unanswered > 0) return;
  if (counts) latencies_.Add(now - message->second.sent);
  messages_.erase(message);
  --in_flight_;
  if (window_->IsOver(now)) return;
  ++in_flight_;
  ++to_send_;
}

void ClosedStream::Aim() {
  auto session = static_cast<uint32_t>(sent_ * sessions_ % live_);
  for (v1::SessionCommand& command : *step_.mutable_commands()) command.set_session(++session);
}

void ClosedStream::MaybeWrite() {
  if (writing_ || closed_) return;
  if (to_send_ > 0) {
    --to_send_;
    writing_ = true;
    if (live_ > sessions_) Aim();
    messages_[sent_++] = {NowNanos(), sessions_};
    StartWrite(&step_);
  } else if (in_flight_ == 0 && sent_ > 0) {
    closed_ = true;
    StartWritesDone();
  }
}

}  // namespace gruserve::bench

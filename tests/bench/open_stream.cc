#include "tests/bench/open_stream.h"

#include <algorithm>

#include "absl/status/status.h"
#include "tests/bench/process_meter.h"

namespace gruserve::bench {

OpenStream::OpenStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended)
    : MeasuredStream(options, 1, window, opened, ended) {}

void OpenStream::Offer(int64_t due) {
  const absl::MutexLock lock(&mu_);
  if (refused_ && !in_flight_.empty()) {
    results_.shed += window_->Contains(due) ? 1 : 0;
    return;
  }
  refused_ = false;
  due_.push_back(due);
  MaybeWrite();
}

void OpenStream::End() {
  {
    const absl::MutexLock lock(&mu_);
    ending_ = true;
    MaybeWrite();
  }
  RemoveHold();
}

void OpenStream::Count(const v1::SessionEvent& event, int64_t now) {
  if (event.has_output()) {
    const Step step = TakeInFlight(event.output().index());
    if (window_->Contains(now)) results_.done.Add(now - step.due);
  } else if (event.has_error()) {
    CountError(event.error(), now);
  }
}

void OpenStream::CountError(const v1::SessionError& error, int64_t now) {
  if (unopened_ > 0 || error.detached()) return Fail(error);
  const Step step = TakeInFlight(error.index());
  if (error.code() == static_cast<int>(absl::StatusCode::kResourceExhausted)) {
    if (window_->Contains(now)) results_.refused.Add(now - step.written);
  } else if (window_->Contains(now)) {
    ++results_.barred;
  }
  refused_ = true;
  next_index_ = error.expected_step();
  for (const int64_t due : due_) results_.shed += window_->Contains(due) ? 1 : 0;
  due_.clear();
}

OpenStream::Step OpenStream::TakeInFlight(int64_t index) {
  auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                            [index](const Step& step) { return step.index == index; });
  if (found == in_flight_.end()) {
    window_->Fail("an answer to a step that was never sent");
    return {};
  }
  const Step step = *found;
  in_flight_.erase(found);
  return step;
}

void OpenStream::MaybeWrite() {
  if (writing_ || closed_) return;
  if (!due_.empty()) {
    writing_ = true;
    step_.mutable_commands(0)->mutable_step()->set_index(next_index_);
    in_flight_.push_back({next_index_++, due_.front(), NowNanos()});
    due_.pop_front();
    StartWrite(&step_);
  } else if (ending_ && in_flight_.empty()) {
    closed_ = true;
    StartWritesDone();
  }
}

}  // namespace gruserve::bench

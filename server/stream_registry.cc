#include "server/stream_registry.h"

#include "absl/time/clock.h"

namespace gruserve::server {

void StreamRegistry::Add(const std::shared_ptr<DrainableStream>& stream) {
  bool draining = false;
  bool ending = false;
  {
    const absl::MutexLock lock(&mu_);
    streams_[stream.get()] = {stream};
    ++busy_;
    draining = draining_;
    ending = ending_;
  }
  if (draining) stream->Drain();
  if (ending) stream->EndDrained();
}

void StreamRegistry::Remove(const DrainableStream* stream) {
  OnQuiet(stream);
  const absl::MutexLock lock(&mu_);
  streams_.erase(stream);
}

bool StreamRegistry::Drain(absl::Duration timeout) {
  std::vector<std::shared_ptr<DrainableStream>> live;
  {
    const absl::MutexLock lock(&mu_);
    draining_ = true;
    live = Live();
  }
  for (const auto& stream : live) stream->Drain();
  const absl::MutexLock lock(&mu_);
  const auto none_busy = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return busy_ == 0; };
  return mu_.AwaitWithTimeout(absl::Condition(&none_busy), timeout);
}

void StreamRegistry::OnQuiet(const DrainableStream* stream) {
  const absl::MutexLock lock(&mu_);
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.quiet) return;
  found->second.quiet = true;
  --busy_;
}

void StreamRegistry::EndDrained() {
  std::vector<std::shared_ptr<DrainableStream>> live;
  {
    const absl::MutexLock lock(&mu_);
    ending_ = true;
    live = Live();
  }
  for (const auto& stream : live) stream->EndDrained();
}

int64_t StreamRegistry::size() const {
  const absl::MutexLock lock(&mu_);
  return static_cast<int64_t>(streams_.size());
}

std::vector<std::shared_ptr<DrainableStream>> StreamRegistry::Live() const {
  std::vector<std::shared_ptr<DrainableStream>> live;
  for (const auto& [key, entry] : streams_) {
    if (auto stream = entry.stream.lock()) live.push_back(std::move(stream));
  }
  return live;
}

}  // namespace gruserve::server

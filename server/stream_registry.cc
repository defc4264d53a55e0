#include "server/stream_registry.h"

#include <vector>

namespace gruserve::server {

void StreamRegistry::Add(const std::shared_ptr<DrainableStream>& stream) {
  bool draining = false;
  {
    const absl::MutexLock lock(&mu_);
    streams_[stream.get()] = stream;
    draining = draining_;
  }
  if (draining) stream->Drain();
}

void StreamRegistry::Remove(const DrainableStream* stream) {
  const absl::MutexLock lock(&mu_);
  streams_.erase(stream);
}

void StreamRegistry::Drain() {
  std::vector<std::shared_ptr<DrainableStream>> live;
  {
    const absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [key, stream] : streams_) {
      if (auto shared = stream.lock()) live.push_back(std::move(shared));
    }
  }
  for (const auto& stream : live) stream->Drain();
}

int64_t StreamRegistry::size() const {
  const absl::MutexLock lock(&mu_);
  return static_cast<int64_t>(streams_.size());
}

}  // namespace gruserve::server

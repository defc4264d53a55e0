// The streams that are open now, so that a drain can end them. Thread-safe.

#ifndef GRUSERVE_SERVER_STREAM_REGISTRY_H_
#define GRUSERVE_SERVER_STREAM_REGISTRY_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace gruserve::server {

// A stream, as a drain sees it.
class DrainableStream {
 public:
  virtual ~DrainableStream() = default;
  // Takes nothing more in, answers what it has, and ends. From any thread.
  virtual void Drain() = 0;
};

class StreamRegistry {
 public:
  // A stream that comes after Drain is drained at once.
  void Add(const std::shared_ptr<DrainableStream>& stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const DrainableStream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  // Drains every stream, those to come too.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);
  int64_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;
  absl::flat_hash_map<const DrainableStream*, std::weak_ptr<DrainableStream>> streams_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_REGISTRY_H_

// The streams that are open now, so that a drain can end them: first they take nothing
// more in, then, once what they moved is saved, they end. Thread-safe.

#ifndef GRUSERVE_SERVER_STREAM_REGISTRY_H_
#define GRUSERVE_SERVER_STREAM_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace gruserve::server {

// A stream, as a drain sees it.
class DrainableStream {
 public:
  virtual ~DrainableStream() = default;
  // From any thread. Takes nothing more in and answers what it has, then calls
  // StreamRegistry::OnQuiet, once.
  virtual void Drain() = 0;
  // REQUIRES: Drain was called. Tells the reader where its sessions stand, and ends.
  virtual void EndDrained() = 0;
};

class StreamRegistry {
 public:
  // A stream that comes after Drain is drained, and ended, at once.
  void Add(const std::shared_ptr<DrainableStream>& stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const DrainableStream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  // Drains every stream, those to come too, and waits for at most `timeout` until they are
  // quiet. Answers whether they are.
  bool Drain(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);
  void OnQuiet(const DrainableStream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends every stream, those to come too. REQUIRES: Drain has returned.
  void EndDrained() ABSL_LOCKS_EXCLUDED(mu_);
  int64_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::weak_ptr<DrainableStream> stream;
    bool quiet = false;
  };
  // Of the map, those that live still.
  std::vector<std::shared_ptr<DrainableStream>> Live() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<const DrainableStream*, Entry> streams_ ABSL_GUARDED_BY(mu_);
  int64_t busy_ ABSL_GUARDED_BY(mu_) = 0;  // Of the streams, those that are not quiet.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_REGISTRY_H_

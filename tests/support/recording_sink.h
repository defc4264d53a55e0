// A session sink that keeps what it is told. Thread-safe; but for ResultsFrom, read it
// while nothing runs.

#ifndef GRUSERVE_TESTS_SUPPORT_RECORDING_SINK_H_
#define GRUSERVE_TESTS_SUPPORT_RECORDING_SINK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/session/session_op.h"

namespace gruserve {

class RecordingSink : public SessionSink {
 public:
  struct Detached {
    uint64_t handle = 0;
    absl::Status status;
    SessionErrorReason reason = SessionErrorReason::kNone;
    uint64_t epoch = 0;
  };
  using Listener = std::function<void(const SessionOp&, const SessionOpResult&)>;

  // `listener` is called before a result is kept, without a lock.
  explicit RecordingSink(Listener listener = nullptr) : listener_(std::move(listener)) {}

  void OnOpDone(const SessionOp& op, const SessionOpResult& result) override {
    if (listener_) listener_(op, result);
    absl::MutexLock lock(&mu_);
    ops_.push_back(op);
    results_.push_back(result);
  }

  void OnDetached(uint64_t handle, const absl::Status& status, SessionErrorReason reason,
                  uint64_t epoch) override {
    absl::MutexLock lock(&mu_);
    detached_.push_back({handle, status, reason, epoch});
  }

  const std::vector<SessionOp>& ops() const { return ops_; }
  const std::vector<SessionOpResult>& results() const { return results_; }
  const std::vector<Detached>& detached() const { return detached_; }
  // Those behind the first `count`.
  std::vector<SessionOpResult> ResultsFrom(size_t count) const {
    absl::MutexLock lock(&mu_);
    return {results_.begin() + static_cast<std::ptrdiff_t>(count), results_.end()};
  }
  const SessionOpResult& last() const { return results_.back(); }

 private:
  const Listener listener_;
  mutable absl::Mutex mu_;
  std::vector<SessionOp> ops_;
  std::vector<SessionOpResult> results_;
  std::vector<Detached> detached_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_RECORDING_SINK_H_

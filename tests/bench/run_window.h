// The time span that counts, seen by all streams of a run, and what went wrong.
// Thread-safe.

#ifndef GRUSERVE_TESTS_BENCH_RUN_WINDOW_H_
#define GRUSERVE_TESTS_BENCH_RUN_WINDOW_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace gruserve::bench {

class RunWindow {
 public:
  // Both in NowNanos(). REQUIRES: called before anything is sent.
  void Set(int64_t begin, int64_t end) {
    begin_.store(begin, std::memory_order_relaxed);
    end_.store(end, std::memory_order_relaxed);
  }
  bool Contains(int64_t now) const {
    return now >= begin_.load(std::memory_order_relaxed) && now < end_.load(std::memory_order_relaxed);
  }
  bool IsOver(int64_t now) const { return now >= end_.load(std::memory_order_relaxed); }

  // Keeps the first fault of the run: what it measured is worth nothing.
  void Fail(const std::string& fault) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    if (fault_.empty()) fault_ = fault;
  }
  std::string fault() const ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    return fault_;
  }

 private:
  std::atomic<int64_t> begin_ = INT64_MAX;
  std::atomic<int64_t> end_ = INT64_MAX;
  mutable absl::Mutex mu_;
  std::string fault_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_RUN_WINDOW_H_

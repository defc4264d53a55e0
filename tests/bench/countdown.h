// Waits, not for ever, until a number of things has happened. Thread-safe.

#ifndef GRUSERVE_TESTS_BENCH_COUNTDOWN_H_
#define GRUSERVE_TESTS_BENCH_COUNTDOWN_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace gruserve::bench {

class Countdown {
 public:
  explicit Countdown(int count) : left_(count) {}

  void Down() ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    --left_;
  }

  // False where the time runs out.
  bool Wait(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(
                                    +[](int* left) { return *left <= 0; }, &left_),
                                timeout);
  }

 private:
  absl::Mutex mu_;
  int left_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_COUNTDOWN_H_

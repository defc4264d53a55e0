// One thread for work that nobody waits for in a hurry, such as loading a model: it
// runs at the lowest priority that the system has, so that steps always go first.
//
// Work runs in order, one piece at a time. Since the thread may stand still for long
// while others compute, the work takes no lock that a call or a step takes.
// Thread-safe.

#ifndef GRUSERVE_CORE_RUNTIME_BACKGROUND_THREAD_H_
#define GRUSERVE_CORE_RUNTIME_BACKGROUND_THREAD_H_

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace gruserve {

class BackgroundThread {
 public:
  BackgroundThread();
  // Waits for what runs; what has not begun is dropped.
  ~BackgroundThread();

  void Post(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  absl::CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_BACKGROUND_THREAD_H_

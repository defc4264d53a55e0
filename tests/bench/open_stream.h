// One StreamSteps call of one session whose steps are sent when they are due,
// whatever has come back: latencies count from that time. After a refusal the
// session goes on with the step that the server expects, once nothing of it is
// in flight; steps that fall due meanwhile are shed.

#ifndef GRUSERVE_TESTS_BENCH_OPEN_STREAM_H_
#define GRUSERVE_TESTS_BENCH_OPEN_STREAM_H_

#include <cstdint>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "tests/bench/countdown.h"
#include "tests/bench/latencies.h"
#include "tests/bench/load_options.h"
#include "tests/bench/measured_stream.h"
#include "tests/bench/run_window.h"

namespace gruserve::bench {

class OpenStream final : public MeasuredStream {
 public:
  // All counted inside the window.
  struct Results {
    Latencies done;      // From when a step was due to its output.
    Latencies refused;   // From when a step was written to its refusal.
    int64_t barred = 0;  // Failed because an earlier one was refused.
    int64_t shed = 0;    // Never sent, for the same reason.
  };

  OpenStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended);

  // A step falls due. REQUIRES: `opened` has been waited for.
  void Offer(int64_t due) ABSL_LOCKS_EXCLUDED(mu_);
  // No more steps will be offered. Call once.
  void End() ABSL_LOCKS_EXCLUDED(mu_);

  Results& results() { return results_; }

 private:
  struct Step {
    int64_t index = 0;
    int64_t due = 0;
    int64_t written = 0;
  };

  void Count(const v1::SessionEvent& event, int64_t now) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountError(const v1::SessionError& error, int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step TakeInFlight(int64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MaybeWrite() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  bool refused_ ABSL_GUARDED_BY(mu_) = false;  // Until a step at next_index_ is sent.
  int64_t next_index_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<int64_t> due_ ABSL_GUARDED_BY(mu_);
  std::deque<Step> in_flight_ ABSL_GUARDED_BY(mu_);
  Results results_;  // Read by others only after the end.
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_OPEN_STREAM_H_

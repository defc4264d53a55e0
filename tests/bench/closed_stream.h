// One StreamSteps call that keeps a number of messages in flight: the next is
// sent when one is answered wholly. A message steps every session of the stream, or the
// next ones of many.

#ifndef GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_
#define GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "tests/bench/countdown.h"
#include "tests/bench/latencies.h"
#include "tests/bench/load_options.h"
#include "tests/bench/measured_stream.h"
#include "tests/bench/run_window.h"

namespace gruserve::bench {

class ClosedStream final : public MeasuredStream {
 public:
  ClosedStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended);

  // Begins to step. REQUIRES: `opened` has been waited for.
  void Begin() ABSL_LOCKS_EXCLUDED(mu_);

  // Of messages answered inside the window.
  Latencies& latencies() { return latencies_; }
  // Steps answered inside the window.
  int64_t steps() const { return steps_; }

 private:
  struct Message {
    int64_t sent = 0;
    int unanswered = 0;
  };

  void Count(const v1::SessionEvent& event, int64_t now) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountOutput(uint32_t session, int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MaybeWrite() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Names the sessions of the next message.
  void Aim() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int sessions_;  // Of a message.
  const int live_;      // Of the stream.
  const int max_in_flight_;
  int to_send_ ABSL_GUARDED_BY(mu_) = 0;
  int in_flight_ ABSL_GUARDED_BY(mu_) = 0;  // To be sent, or sent and not wholly answered.
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  // Those in flight, by number: of different sessions a later one may be answered first.
  std::unordered_map<int64_t, Message> messages_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> answered_ ABSL_GUARDED_BY(mu_);  // Of each session, by handle - 1.
  Latencies latencies_;                                 // Read by others only after the end.
  int64_t steps_ = 0;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_

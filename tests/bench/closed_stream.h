// One StreamSteps call that keeps a number of messages in flight: the next is
// sent when one is answered wholly. A message steps every session of the stream.
//
// gRPC's threads call it; the owner calls the public methods and waits for `ended`
// before it deletes the stream or reads its results.

#ifndef GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_
#define GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/bench/countdown.h"
#include "tests/bench/latencies.h"
#include "tests/bench/load_options.h"
#include "tests/bench/run_window.h"

namespace gruserve::bench {

class ClosedStream final : public grpc::ClientBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse> {
 public:
  // REQUIRES: everything outlives the stream. `opened` and `ended` are counted
  // down once each, also where the stream breaks.
  ClosedStream(const LoadOptions& options, RunWindow* window, Countdown* opened, Countdown* ended);

  // Opens the sessions.
  void Start(v1::InferenceService::Stub* stub);
  // Begins to step. REQUIRES: `opened` has been waited for.
  void Begin() ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() { context_.TryCancel(); }

  // Of messages answered inside the window.
  Latencies& latencies() { return latencies_; }
  // Steps answered inside the window.
  int64_t steps() const { return steps_; }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override;

 private:
  struct Message {
    int64_t sent = 0;
    int unanswered = 0;
  };

  void Count(const v1::SessionEvent& event, int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountOutput(uint32_t session, int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MaybeWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after construction.
  const int sessions_;
  const int max_in_flight_;
  RunWindow* const window_;
  Countdown* const opened_;
  Countdown* const ended_;
  const v1::StreamStepsRequest open_;
  const v1::StreamStepsRequest step_;

  grpc::ClientContext context_;
  v1::StreamStepsResponse response_;  // The reading thread's.

  absl::Mutex mu_;
  int unopened_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = true;  // The opening message comes first.
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  int to_send_ ABSL_GUARDED_BY(mu_) = 0;
  int in_flight_ ABSL_GUARDED_BY(mu_) = 0;  // To be sent, or sent and not wholly answered.
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Message> messages_ ABSL_GUARDED_BY(mu_);  // A ring of those in flight.
  std::vector<int64_t> answered_ ABSL_GUARDED_BY(mu_);  // Of each session, by handle - 1.
  Latencies latencies_;                                 // Read by others only after the end.
  int64_t steps_ = 0;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_CLOSED_STREAM_H_

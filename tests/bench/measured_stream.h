// What the streams of a measurement have in common: one StreamSteps call that opens
// its sessions, tells what broke, and holds one write at a time. What is written
// when, and what an answer means, the kinds of streams say.
//
// gRPC's threads call it; the owner calls the public methods and waits for `ended`
// before it deletes the stream or reads its results.

#ifndef GRUSERVE_TESTS_BENCH_MEASURED_STREAM_H_
#define GRUSERVE_TESTS_BENCH_MEASURED_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/bench/countdown.h"
#include "tests/bench/load_options.h"
#include "tests/bench/run_window.h"

namespace gruserve::bench {

class MeasuredStream : public grpc::ClientBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse> {
 public:
  // Opens the sessions. The call stays until the stream's kind removes the hold.
  void Start(v1::InferenceService::Stub* stub);
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override;

 protected:
  // REQUIRES: everything outlives the stream. `opened` and `ended` are counted
  // down once each, also where the stream breaks.
  // `sessions` are opened.
  MeasuredStream(const LoadOptions& options, int sessions, RunWindow* window, Countdown* opened,
                 Countdown* ended);

  // An output or an error.
  virtual void Count(const v1::SessionEvent& event, int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Writes, or half-closes, if there is reason to and no write is under way.
  virtual void MaybeWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // The run is worth nothing.
  void Fail(const v1::SessionError& error);

  RunWindow* const window_;
  absl::Mutex mu_;
  int unopened_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = true;  // The opening messages come first.
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  v1::StreamStepsRequest step_;  // Whoever set writing_ has it.

 private:
  Countdown* const opened_;
  Countdown* const ended_;
  // Opens the next sessions; false where there are no more.
  bool WriteOpens() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string model_;
  const int sessions_;
  int asked_for_ ABSL_GUARDED_BY(mu_) = 0;
  v1::StreamStepsRequest open_ ABSL_GUARDED_BY(mu_);
  grpc::ClientContext context_;
  v1::StreamStepsResponse response_;  // The reading thread's.
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_MEASURED_STREAM_H_

// What a stream's answers become: lines on stdout as they arrive, and arrays for
// files at the end.
//
// Thread-safe: answers come on the stream's threads, in order.

#ifndef GRUSERVE_CLIENT_CLI_STEP_RECORDER_H_
#define GRUSERVE_CLIENT_CLI_STEP_RECORDER_H_

#include <cstdint>
#include <iosfwd>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/step_stream.h"
#include "client/tensor.h"

namespace gruserve::client {

class StepRecorder {
 public:
  struct Options {
    std::ostream* lines = nullptr;  // One line a step; null: none.
    bool keep_output = false;       // For output().
  };

  explicit StepRecorder(const Options& options) : options_(options) {}

  // Takes one answer; `chunk`: it has the time axis in front. What comes after
  // the first error is left out.
  void Record(const absl::StatusOr<StepResult>& result, bool chunk) ABSL_LOCKS_EXCLUDED(mu_);

  // The first error.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for `deadline`, or for an error if that comes first.
  absl::Status WaitUntil(absl::Time deadline) const ABSL_LOCKS_EXCLUDED(mu_);

  // [steps, step shape...]; and the last state that an answer brought.
  Tensor TakeOutput() ABSL_LOCKS_EXCLUDED(mu_);
  Tensor TakeState() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Append(const StepResult& result, bool chunk) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;

  mutable absl::Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  Tensor output_ ABSL_GUARDED_BY(mu_);
  Tensor state_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_STEP_RECORDER_H_

#include "client/cli/step_recorder.h"

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/csv.h"

namespace gruserve::client {

void StepRecorder::Record(const absl::StatusOr<StepResult>& result, bool chunk) {
  const absl::MutexLock lock(&mu_);
  if (!status_.ok()) return;
  if (result.ok() && !result->states.empty()) {
    status_ = absl::FailedPreconditionError(
        absl::StrCat("the model has ", result->states.size(),
                     " hidden states, --h-n writes the one of a model that has one"));
  } else if (result.ok()) {
    Append(*result, chunk);
  } else {
    status_ = result.status();
  }
}

void StepRecorder::Append(const StepResult& result, bool chunk) {
  const Tensor& y = result.output;
  const size_t steps = chunk && !y.shape.empty() ? static_cast<size_t>(y.shape[0]) : 1;
  if (options_.keep_output) {
    if (output_.shape.empty()) {
      output_.shape.assign(y.shape.begin() + (chunk ? 1 : 0), y.shape.end());
      output_.shape.insert(output_.shape.begin(), 0);
    }
    output_.shape[0] += static_cast<int64_t>(steps);
    output_.values.insert(output_.values.end(), y.values.begin(), y.values.end());
  }
  if (!result.state.shape.empty()) state_ = result.state;
  if (options_.lines == nullptr) return;
  const size_t numbers = y.values.size() / steps;
  std::string lines;
  for (size_t step = 0; step < steps; ++step) {
    AppendCsvRow(y.values.data() + step * numbers, numbers, &lines);
    lines.push_back('\n');
  }
  *options_.lines << lines << std::flush;
}

absl::Status StepRecorder::status() const {
  const absl::MutexLock lock(&mu_);
  return status_;
}

absl::Status StepRecorder::WaitUntil(absl::Time deadline) const {
  const auto failed = [this] {
    mu_.AssertReaderHeld();
    return !status_.ok();
  };
  const absl::MutexLock lock(&mu_);
  mu_.AwaitWithDeadline(absl::Condition(&failed), deadline);
  return status_;
}

Tensor StepRecorder::TakeOutput() {
  const absl::MutexLock lock(&mu_);
  return std::move(output_);
}

Tensor StepRecorder::TakeState() {
  const absl::MutexLock lock(&mu_);
  return std::move(state_);
}

}  // namespace gruserve::client

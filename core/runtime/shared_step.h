// A lone step of a model whose weights are so large that two workers do it sooner than
// one: as a sequence of one time step, which they share by columns (column_slice.h).
//
// Deletes itself when it is done.

#ifndef GRUSERVE_CORE_RUNTIME_SHARED_STEP_H_
#define GRUSERVE_CORE_RUNTIME_SHARED_STEP_H_

#include <array>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "core/runtime/executor.h"

namespace gruserve {

class SharedStep final : public SequenceTask {
 public:
  using Observe = std::function<void(const StepTask& step)>;

  // Made with new. `observe` is called before the step is told. REQUIRES: the step has
  // one row, of a model that SharesLoneStep.
  SharedStep(StepTask* step, Observe observe)
      : step_(step), observe_(std::move(observe)), states_{step->rows.front().state} {
    const StepRow& row = step->rows.front();
    model = step->model;
    deadline = step->deadline;
    call = {.time_steps = 1, .batch_size = 1, .input = row.input, .output = row.output, .states = states_};
  }

  void OnSequenceDone(const absl::Status& status) override {
    observe_(*step_);
    step_->OnStepDone(absl::IsDeadlineExceeded(status) ? StepIsTooLate() : status);
    delete this;
  }

 private:
  ~SharedStep() override = default;

  StepTask* const step_;
  const Observe observe_;
  std::array<float*, 1> states_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_SHARED_STEP_H_

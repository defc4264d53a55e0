// What the tests of the compute pool share: tasks with arrays of their own, and a
// pool that keeps what it ran.

#ifndef GRUSERVE_TESTS_CORE_RUNTIME_COMPUTE_POOL_FIXTURE_H_
#define GRUSERVE_TESTS_CORE_RUNTIME_COMPUTE_POOL_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <latch>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {

inline constexpr int kWorkers = 4;

inline const LoadedRandomModel& Small() {
  static const auto* const model =
      new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2}, kWorkers, "small");
  return *model;
}

inline const LoadedRandomModel& Other() {
  static const auto* const model =
      new LoadedRandomModel(2, {.input_size = 4, .hidden_size = 8}, kWorkers, "other");
  return *model;
}

// One step of one row, with its own arrays.
class OneStep : public StepTask {
 public:
  OneStep(const LoadedRandomModel& of, std::latch* done, std::vector<float> values, int64_t num_rows = 1)
      : input(std::move(values)),
        state(static_cast<size_t>(of.config().state_size() * num_rows)),
        output(static_cast<size_t>(of.config().output_size() * num_rows)),
        done_(done) {
    for (int64_t row = 0; row < num_rows; ++row) {
      rows_.push_back({input.data() + row * of.config().input_size,
                       state.data() + row * of.config().state_size(),
                       output.data() + row * of.config().output_size()});
    }
    model = of.handle().get();
    rows = rows_;
  }
  void OnStepDone(const absl::Status& result) override {
    status = result;
    ++calls;
    done_->count_down();
  }

  std::vector<float> input;
  std::vector<float> state;
  std::vector<float> output;
  absl::Status status = absl::UnknownError("not done");
  int calls = 0;

 private:
  std::vector<StepRow> rows_;
  std::latch* const done_;
};

class OneSequence : public SequenceTask {
 public:
  OneSequence(const LoadedRandomModel& of, std::latch* done, int64_t time_steps, int64_t batch_size,
              uint32_t seed)
      : arrays(of.config(), time_steps, batch_size, seed), done_(done) {
    model = of.handle().get();
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& result) override {
    status = result;
    done_->count_down();
  }

  SequenceArrays arrays;
  absl::Status status = absl::UnknownError("not done");

 private:
  std::latch* const done_;
};

// Holds a worker until it is opened, so that what is submitted meanwhile waits.
class Gate : public OneStep {
 public:
  explicit Gate(std::latch* done) : OneStep(Small(), done, {0, 0, 0}) {}
  void OnStepDone(const absl::Status& result) override {
    reached_.count_down();
    open_.wait();
    OneStep::OnStepDone(result);
  }
  void WaitUntilReached() { reached_.wait(); }
  void Open() { open_.count_down(); }

 private:
  std::latch reached_{1};
  std::latch open_{1};
};

// Submits itself again as soon as it is done, until told to stop.
class EndlessStep : public OneStep {
 public:
  EndlessStep(ComputePool* pool, std::latch* done) : OneStep(Small(), done, {1, 2, 3}), pool_(pool) {}
  void OnStepDone(const absl::Status& result) override {
    ++runs_;
    if (stop_ || !pool_->SubmitStep(this).ok()) OneStep::OnStepDone(result);
  }
  void Stop() { stop_ = true; }
  int runs() const { return runs_; }

 private:
  ComputePool* const pool_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> runs_ = 0;
};

struct RanBatch {
  const LoadedModel* model;
  int64_t rows;
  absl::Duration waited;
};

class ComputePoolTest : public ::testing::Test {
 protected:
  void Start(int workers, int64_t max_steps = 1 << 20, int64_t max_sequences = 1024,
             absl::Duration in_place_limit = absl::ZeroDuration()) {
    pool_ = std::make_unique<ComputePool>(ComputePool::Options{workers, max_steps, max_sequences,
                                                               [this](const LoadedModel& model, int64_t rows,
                                                                      absl::Duration waited, absl::Duration) {
                                                                 const std::lock_guard lock(mu_);
                                                                 batches_.push_back({&model, rows, waited});
                                                               },
                                                               in_place_limit},
                                          &clock_);
  }

  FakeClock clock_;
  std::mutex mu_;
  std::vector<RanBatch> batches_;  // Guarded by mu_.
  std::unique_ptr<ComputePool> pool_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_RUNTIME_COMPUTE_POOL_FIXTURE_H_

#include "core/runtime/compute_pool.h"

#include <atomic>
#include <cstdint>
#include <latch>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "core/runtime/work_round.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loaded_models.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

constexpr int kWorkers = 4;

const LoadedRandomModel& Small() {
  static const auto* const model =
      new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2}, kWorkers, "small");
  return *model;
}

const LoadedRandomModel& Other() {
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

struct Batch {
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
  std::vector<Batch> batches_;  // Guarded by mu_.
  std::unique_ptr<ComputePool> pool_;
};

TEST_F(ComputePoolTest, ZeroWorkersMeansTheUsableProcessors) {
  Start(0);
  EXPECT_EQ(pool_->num_workers(), UsableProcessors());
}

TEST_F(ComputePoolTest, ReadyStepsOfAModelRunTogetherAndModelsTakeTurns) {
  Start(1);
  std::latch done(1 + 100 + 3);
  Gate gate(&done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  std::vector<std::unique_ptr<OneStep>> steps;
  for (int i = 0; i < 103; ++i) {
    const LoadedRandomModel& model = i < 100 ? Small() : Other();
    steps.push_back(std::make_unique<OneStep>(model, &done, std::vector<float>(4, 0.5f)));
    ASSERT_TRUE(pool_->SubmitStep(steps.back().get()).ok());
  }
  clock_.Advance(absl::Milliseconds(5));
  gate.Open();
  done.wait();
  pool_.reset();
  ASSERT_EQ(batches_.size(), 4u);
  EXPECT_EQ(batches_[1].rows, 64);
  EXPECT_EQ(batches_[1].waited, absl::Milliseconds(5));
  EXPECT_EQ(batches_[2].model, Other().handle().get());
  EXPECT_EQ(batches_[2].rows, 3);
  EXPECT_EQ(batches_[3].rows, 36);
  for (const auto& step : steps) {
    EXPECT_TRUE(step->status.ok());
    EXPECT_EQ(step->calls, 1);
  }
}

TEST_F(ComputePoolTest, RowsOfOneTaskAreNeverParted) {
  Start(1);
  std::latch done(4);
  Gate gate(&done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  OneStep first(Small(), &done, std::vector<float>(3 * 40), 40);
  OneStep second(Small(), &done, std::vector<float>(3 * 40), 40);
  OneStep wide(Small(), &done, std::vector<float>(3 * 100), 100);
  for (OneStep* step : {&first, &second, &wide}) ASSERT_TRUE(pool_->SubmitStep(step).ok());
  gate.Open();
  done.wait();
  pool_.reset();
  ASSERT_EQ(batches_.size(), 4u);
  EXPECT_EQ(batches_[1].rows, 40);
  EXPECT_EQ(batches_[2].rows, 40);
  EXPECT_EQ(batches_[3].rows, 100);
}

TEST_F(ComputePoolTest, ALoneStepRunsWhereItIsSubmitted) {
  Start(1, 1 << 20, 1024, absl::Hours(1));
  std::latch done(3);
  OneStep step(Small(), &done, {1, 2, 3});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pool_->SubmitStep(&step).ok());
    EXPECT_EQ(step.calls, i + 1);
  }
}

TEST_F(ComputePoolTest, StepsOfManyInARowAreHandedOver) {
  Start(1, 1 << 20, 1024, absl::Hours(1));
  std::latch done(3);
  OneStep first(Small(), &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&first).ok());
  EXPECT_EQ(first.calls, 1);
  // Time stands still: this one follows at once, so there may be more to come.
  OneStep second(Small(), &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&second).ok());
  clock_.Advance(absl::Hours(10));
  OneStep third(Small(), &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&third).ok());
  done.wait();
  pool_.reset();
  EXPECT_EQ(second.calls, 1);
  EXPECT_EQ(third.calls, 1);
}

TEST_F(ComputePoolTest, ARoundsStepsAreOneBatch) {
  Start(2);
  std::latch done(40);
  std::vector<std::unique_ptr<OneStep>> steps;
  {
    const WorkRound round(WorkRound::Thread::kCaller);
    for (int i = 0; i < 40; ++i) {
      steps.push_back(std::make_unique<OneStep>(Small(), &done, std::vector<float>(3, 0.5f)));
      ASSERT_TRUE(pool_->SubmitStep(steps.back().get()).ok());
    }
  }
  done.wait();
  pool_.reset();
  ASSERT_EQ(batches_.size(), 1u);
  EXPECT_EQ(batches_[0].rows, 40);
}

TEST_F(ComputePoolTest, AStepAmongOthersIsBitEqualToTheStepAlone) {
  Start(kWorkers);
  std::mt19937 random(5);
  std::latch done(500);
  std::vector<std::unique_ptr<OneStep>> steps;
  for (int i = 0; i < 500; ++i)
    steps.push_back(std::make_unique<OneStep>(Small(), &done, RandomFloats(random, 3)));
  for (const auto& step : steps) ASSERT_TRUE(pool_->SubmitStep(step.get()).ok());
  done.wait();
  for (const auto& step : steps) {
    std::vector<float> state;
    EXPECT_EQ(step->output, Small().RunAlone(1, step->input, &state));
    EXPECT_EQ(step->state, state);
  }
}

TEST_F(ComputePoolTest, SequencesRunSliceBySliceBesideSteps) {
  Start(1);
  std::latch done(2);
  OneSequence sequence(Small(), &done, 20'000, 3, 9);
  std::vector<float> state = sequence.arrays.Ldnc(sequence.arrays.h_0);
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  OneStep step(Small(), &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&step).ok());
  done.wait();
  EXPECT_TRUE(step.status.ok());
  EXPECT_TRUE(sequence.status.ok()) << sequence.status;
  EXPECT_EQ(sequence.arrays.output, Small().RunAlone(3, sequence.arrays.input, &state));
  EXPECT_EQ(sequence.arrays.Ldnc(sequence.arrays.states), state);
}

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

// Large enough for workers to share its calls.
const LoadedRandomModel& Wide(int64_t num_directions) {
  static const auto* const one =
      new LoadedRandomModel(4, {.input_size = 64, .hidden_size = 96, .num_layers = 2}, kWorkers, "wide");
  static const auto* const both = new LoadedRandomModel(
      5, {.input_size = 64, .hidden_size = 96, .num_layers = 2, .num_directions = 2}, kWorkers, "both");
  return num_directions == 1 ? *one : *both;
}

void ExpectAsAlone(const LoadedRandomModel& model, OneSequence& sequence) {
  EXPECT_TRUE(sequence.status.ok()) << sequence.status;
  std::vector<float> state = sequence.arrays.Ldnc(sequence.arrays.h_0);
  EXPECT_EQ(sequence.arrays.output,
            model.RunAlone(sequence.arrays.batch_size, sequence.arrays.input, &state));
  EXPECT_EQ(sequence.arrays.Ldnc(sequence.arrays.states), state);
}

TEST_F(ComputePoolTest, ASequenceSharedByWorkersIsBitEqualToTheSequenceAlone) {
  Start(kWorkers);
  for (const int64_t directions : {1, 2}) {
    for (const int64_t batch_size : {1, 6, 70}) {
      std::latch done(1);
      OneSequence sequence(Wide(directions), &done, 120, batch_size, 1);
      ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
      done.wait();
      ExpectAsAlone(Wide(directions), sequence);
    }
  }
}

TEST_F(ComputePoolTest, ManySequencesAndStepsShareTheWorkers) {
  Start(kWorkers);
  std::latch step_done(1);
  EndlessStep endless(pool_.get(), &step_done);
  ASSERT_TRUE(pool_->SubmitStep(&endless).ok());
  std::latch done(20);
  std::vector<std::unique_ptr<OneSequence>> sequences;
  for (uint32_t i = 0; i < 20; ++i) {
    sequences.push_back(
        std::make_unique<OneSequence>(Wide(1 + i % 2), &done, 10 + 20 * (i % 5), 1 + i % 9, i));
  }
  for (const auto& sequence : sequences) ASSERT_TRUE(pool_->SubmitSequence(sequence.get()).ok());
  done.wait();
  endless.Stop();
  step_done.wait();
  for (uint32_t i = 0; i < 20; ++i) ExpectAsAlone(Wide(1 + i % 2), *sequences[i]);
}

TEST_F(ComputePoolTest, ASharedSequenceStopsWhenCancelled) {
  Start(kWorkers);
  std::latch done(1);
  OneSequence endless(Wide(2), &done, 200'000, 1, 1);
  ASSERT_TRUE(pool_->SubmitSequence(&endless).ok());
  endless.cancelled = true;
  done.wait();
  EXPECT_EQ(endless.status.code(), absl::StatusCode::kCancelled);
}

TEST_F(ComputePoolTest, EndlessStepsDoNotStarveASequenceNorItThem) {
  Start(1);
  std::latch step_done(1);
  EndlessStep endless(pool_.get(), &step_done);
  ASSERT_TRUE(pool_->SubmitStep(&endless).ok());
  std::latch sequence_done(1);
  OneSequence sequence(Small(), &sequence_done, 20'000, 3, 9);
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  sequence_done.wait();
  EXPECT_GE(endless.runs(), 20'000 / 128 - 1) << "a step between any two slices";
  endless.Stop();
  step_done.wait();
  EXPECT_TRUE(sequence.status.ok());
}

TEST_F(ComputePoolTest, AStepPastItsDeadlineIsNotRun) {
  Start(1);
  std::latch done(3);
  Gate gate(&done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  OneStep late(Small(), &done, {1, 2, 3});
  late.deadline = clock_.Now() + absl::Milliseconds(1);
  OneStep early(Small(), &done, {1, 2, 3});
  early.deadline = clock_.Now() + absl::Milliseconds(3);
  ASSERT_TRUE(pool_->SubmitStep(&late).ok());
  ASSERT_TRUE(pool_->SubmitStep(&early).ok());
  clock_.Advance(absl::Milliseconds(2));
  gate.Open();
  done.wait();
  EXPECT_EQ(late.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late.state, std::vector<float>(10));
  EXPECT_TRUE(early.status.ok());
}

TEST_F(ComputePoolTest, ASequencePastItsDeadlineOrCancelledIsNotRun) {
  Start(1);
  std::latch done(3);
  Gate gate(&done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  OneSequence late(Small(), &done, 5, 1, 1);
  late.deadline = clock_.Now() - absl::Milliseconds(1);
  OneSequence cancelled(Small(), &done, 5, 1, 1);
  cancelled.cancelled = true;
  ASSERT_TRUE(pool_->SubmitSequence(&late).ok());
  ASSERT_TRUE(pool_->SubmitSequence(&cancelled).ok());
  gate.Open();
  done.wait();
  EXPECT_EQ(late.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cancelled.status.code(), absl::StatusCode::kCancelled);
}

TEST_F(ComputePoolTest, ARunningSequenceStopsBetweenSlicesWhenCancelled) {
  Start(1);
  std::latch done(1);
  OneSequence endless(Small(), &done, 2'000'000, 1, 1);
  ASSERT_TRUE(pool_->SubmitSequence(&endless).ok());
  endless.cancelled = true;
  done.wait();
  EXPECT_EQ(endless.status.code(), absl::StatusCode::kCancelled);
}

TEST_F(ComputePoolTest, AFullQueueRefuses) {
  Start(1, /*max_steps=*/1, /*max_sequences=*/1);
  std::latch done(3);
  Gate gate(&done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  OneStep step(Small(), &done, {1, 2, 3});
  OneSequence sequence(Small(), &done, 5, 1, 1);
  ASSERT_TRUE(pool_->SubmitStep(&step).ok());
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  OneStep refused_step(Small(), &done, {1, 2, 3});
  OneSequence refused_sequence(Small(), &done, 5, 1, 1);
  EXPECT_EQ(pool_->SubmitStep(&refused_step).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool_->SubmitSequence(&refused_sequence).code(), absl::StatusCode::kResourceExhausted);
  gate.Open();
  done.wait();
  EXPECT_EQ(refused_step.calls, 0);
}

TEST_F(ComputePoolTest, AFailingModelFailsAllItsTasks) {
  static const LoadedRandomModel both(3, {.input_size = 3, .hidden_size = 5, .num_directions = 2}, kWorkers);
  Start(1);
  std::latch done(2);
  OneStep first(both, &done, {1, 2, 3});
  OneStep second(both, &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&first).ok());
  ASSERT_TRUE(pool_->SubmitStep(&second).ok());
  done.wait();
  EXPECT_EQ(first.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(second.status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ComputePoolTest, TheDestructorFinishesWhatWasSubmitted) {
  Start(kWorkers);
  std::latch done(101);
  std::vector<std::unique_ptr<OneStep>> steps;
  for (int i = 0; i < 100; ++i) {
    steps.push_back(std::make_unique<OneStep>(Small(), &done, std::vector<float>{1, 2, 3}));
    ASSERT_TRUE(pool_->SubmitStep(steps.back().get()).ok());
  }
  OneSequence sequence(Small(), &done, 5000, 2, 3);
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  pool_.reset();
  EXPECT_TRUE(done.try_wait());
  EXPECT_TRUE(sequence.status.ok());
  for (const auto& step : steps) EXPECT_TRUE(step->status.ok());
}

TEST_F(ComputePoolTest, SubmittingDuringShutdownIsUnavailable) {
  Start(1);
  std::latch done(1);
  EndlessStep endless(pool_.get(), &done);
  ASSERT_TRUE(pool_->SubmitStep(&endless).ok());
  pool_.reset();
  EXPECT_TRUE(done.try_wait());
}

TEST_F(ComputePoolTest, ManyThreadsSubmitAtOnce) {
  Start(kWorkers);
  constexpr int kThreads = 4;
  constexpr int kEach = 300;
  std::latch done(kThreads * kEach);
  std::vector<std::vector<std::unique_ptr<OneStep>>> steps(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : steps) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        mine.push_back(
            std::make_unique<OneStep>(i % 2 == 0 ? Small() : Other(), &done, std::vector<float>(4, 0.1f)));
        EXPECT_TRUE(pool_->SubmitStep(mine.back().get()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.wait();
  for (const auto& mine : steps) {
    for (const auto& step : mine) EXPECT_TRUE(step->status.ok());
  }
}

}  // namespace
}  // namespace gruserve

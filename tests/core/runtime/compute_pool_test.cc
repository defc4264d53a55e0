#include "core/runtime/compute_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <latch>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/runtime/work_round.h"
#include "tests/core/runtime/compute_pool_fixture.h"
#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

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

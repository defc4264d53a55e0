// Steps that several callers leave for a thread that comes back.

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "tests/core/runtime/compute_pool_fixture.h"

namespace gruserve {
namespace {

class GatherTest : public ComputePoolTest {
 protected:
  void Start() {
    ComputePool::Options options;
    options.num_workers = 2;
    options.in_place_limit = absl::Hours(1);
    options.observe_batch = [this](const LoadedModel& model, int64_t rows, absl::Duration waited,
                                   absl::Duration) {
      const std::lock_guard lock(mu_);
      batches_.push_back({&model, rows, waited});
    };
    options.ask_back = [this] { ++asked_; };
    pool_ = std::make_unique<ComputePool>(std::move(options), &clock_);
  }

  // A lone step, after which others that follow at once are of many.
  void RunOneInPlace() {
    ASSERT_TRUE(pool_->SubmitStep(&lone_).ok());
    ASSERT_EQ(lone_.calls, 1);
  }

  // A gathered step, then `second`, with which neither waits for a caller.
  void ExpectAWorkerTakesBoth(OneStep& second, std::latch& second_done) {
    std::latch done(1);
    OneStep gathered(Small(), &done, {1, 2, 3});
    ASSERT_TRUE(pool_->SubmitStep(&gathered).ok());
    ASSERT_TRUE(pool_->SubmitStep(&second).ok());
    done.wait();
    second_done.wait();
    EXPECT_EQ(asked_, 1);
    pool_->ComeBack();  // Finds nothing.
  }

  int asked_ = 0;

 private:
  std::latch lone_done_{1};
  OneStep lone_{Small(), &lone_done_, {1, 2, 3}};
};

TEST_F(GatherTest, StepsOfSeveralCallersAreOneBatchOfTheOneThatComesBack) {
  Start();
  RunOneInPlace();
  std::latch done(3);
  std::vector<std::unique_ptr<OneStep>> steps;
  for (int i = 0; i < 3; ++i) {
    steps.push_back(std::make_unique<OneStep>(Small(), &done, std::vector<float>(3, 0.5f)));
    ASSERT_TRUE(pool_->SubmitStep(steps.back().get()).ok());
    EXPECT_EQ(steps.back()->calls, 0);
  }
  EXPECT_EQ(asked_, 1);
  pool_->ComeBack();
  for (const auto& step : steps) EXPECT_EQ(step->calls, 1);
  ASSERT_EQ(batches_.size(), 2u);
  EXPECT_EQ(batches_[1].rows, 3);
  // What follows asks anew.
  std::latch again(1);
  OneStep next(Small(), &again, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&next).ok());
  EXPECT_EQ(asked_, 2);
  pool_->ComeBack();
  EXPECT_EQ(next.calls, 1);
}

TEST_F(GatherTest, MoreThanABatchGoesToAWorker) {
  Start();
  RunOneInPlace();
  std::latch done(1);
  OneStep wide(Small(), &done, std::vector<float>(3 * 100), 100);
  ExpectAWorkerTakesBoth(wide, done);
}

TEST_F(GatherTest, AStepWithADueTimeWaitsForNobody) {
  Start();
  RunOneInPlace();
  std::latch done(1);
  OneStep due(Small(), &done, {1, 2, 3});
  due.due = clock_.Now() + absl::Milliseconds(1);
  ExpectAWorkerTakesBoth(due, done);
}

TEST_F(GatherTest, StepsOfSeveralModelsGoToWorkers) {
  Start();
  RunOneInPlace();
  std::latch done(1);
  OneStep other(Other(), &done, {1, 2, 3, 4});
  ExpectAWorkerTakesBoth(other, done);
}

// Long enough to wait for others.
constexpr int64_t kSteps = 60;

TEST_F(GatherTest, ASequenceAloneRunsWhenTheCallerComesBack) {
  Start();
  for (int i = 1; i <= 2; ++i) {
    std::latch done(1);
    OneSequence sequence(Small(), &done, kSteps, 1, 1);
    ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
    EXPECT_FALSE(done.try_wait());
    EXPECT_EQ(asked_, i);
    pool_->ComeBack();
    ASSERT_TRUE(done.try_wait());
    EXPECT_TRUE(sequence.status.ok()) << sequence.status;
  }
}

TEST_F(GatherTest, SequencesThatComeTogetherAreForAWorker) {
  Start();
  std::latch done(2);
  OneSequence first(Small(), &done, kSteps, 1, 1);
  OneSequence second(Small(), &done, kSteps, 1, 1);
  ASSERT_TRUE(pool_->SubmitSequence(&first).ok());
  ASSERT_TRUE(pool_->SubmitSequence(&second).ok());
  EXPECT_EQ(asked_, 1);
  pool_->ComeBack();
  done.wait();
  EXPECT_TRUE(first.status.ok() && second.status.ok());
  EXPECT_EQ(first.arrays.output, second.arrays.output);
}

TEST_F(GatherTest, AStepThatComesMeanwhileSendsBothToWorkers) {
  Start();
  std::latch sequence_done(1);
  std::latch step_done(1);
  OneSequence sequence(Small(), &sequence_done, kSteps, 1, 1);
  OneStep step(Small(), &step_done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  ASSERT_TRUE(pool_->SubmitStep(&step).ok());
  sequence_done.wait();
  step_done.wait();
  pool_->ComeBack();  // Finds nothing.
  EXPECT_EQ(asked_, 1);
}

TEST_F(GatherTest, TheDestructorFinishesWhatWaitsAndWaitsForWhoWasAsked) {
  Start();
  RunOneInPlace();
  std::latch done(1);
  OneStep step(Small(), &done, {1, 2, 3});
  ASSERT_TRUE(pool_->SubmitStep(&step).ok());
  ComputePool* const pool = pool_.get();
  std::thread late([&] {
    done.wait();  // A worker has it, since the pool ends.
    pool->ComeBack();
  });
  pool_.reset();
  late.join();
  EXPECT_EQ(step.calls, 1);
}

}  // namespace
}  // namespace gruserve

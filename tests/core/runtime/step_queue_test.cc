#include "core/runtime/step_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/support/loaded_models.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;

// 64 rows make a batch that is worth a worker.
const LoadedRandomModel& First() {
  static const auto* const model = new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5});
  return *model;
}
const LoadedRandomModel& Second() {
  static const auto* const model = new LoadedRandomModel(2, {.input_size = 3, .hidden_size = 5});
  return *model;
}

class NumberedStep : public StepTask {
 public:
  NumberedStep(const LoadedRandomModel& of, int number) : number_(number) {
    model = of.handle().get();
    rows = {&row_, 1};
  }
  void OnStepDone(const absl::Status&) override {}
  int number() const { return number_; }

 private:
  const int number_;
  StepRow row_;
};

class StepQueueTest : public ::testing::Test {
 protected:
  NumberedStep* Push(const LoadedRandomModel& model, absl::Time deadline = absl::InfiniteFuture()) {
    steps_.push_back(std::make_unique<NumberedStep>(model, static_cast<int>(steps_.size())));
    steps_.back()->deadline = deadline;
    queue_.Push(steps_.back().get());
    return steps_.back().get();
  }
  void Push(const LoadedRandomModel& model, int count) {
    for (int i = 0; i < count; ++i) Push(model);
  }
  std::vector<int> Take(int workers = 1) {
    std::vector<StepTask*> batch;
    queue_.Take(workers, &batch);
    std::vector<int> numbers;
    for (const StepTask* task : batch) numbers.push_back(static_cast<const NumberedStep*>(task)->number());
    return numbers;
  }

  StepQueue queue_;
  std::vector<std::unique_ptr<NumberedStep>> steps_;
};

TEST_F(StepQueueTest, ModelsTakeTurnsAndStepsKeepTheirOrder) {
  Push(First(), 2);
  Push(Second());
  Push(First());
  EXPECT_THAT(Take(), ElementsAre(0, 1, 3));
  EXPECT_THAT(Take(), ElementsAre(2));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(StepQueueTest, AFewStepsWaitForTheWorkerThatRunsTheirModel) {
  Push(First());
  Take();
  Push(First(), 63);
  EXPECT_FALSE(queue_.ready());
  EXPECT_FALSE(queue_.empty());
  Push(First());
  EXPECT_TRUE(queue_.ready());
  EXPECT_EQ(Take().size(), 64u);
}

TEST_F(StepQueueTest, WhatWaitedIsReadyWhenTheirModelsWorkerIsDone) {
  Push(First());
  Take();
  Push(First());
  EXPECT_FALSE(queue_.ready());
  queue_.Done(First().handle().get());
  EXPECT_TRUE(queue_.ready());
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(StepQueueTest, OtherModelsDoNotWait) {
  Push(First());
  Take();
  Push(Second());
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(StepQueueTest, TheNearestDeadlineComesFirst) {
  const absl::Time now = absl::UnixEpoch();
  Push(First(), now + absl::Seconds(3));
  Push(First());
  Push(First(), now + absl::Seconds(1));
  Push(First(), now + absl::Seconds(2));
  EXPECT_THAT(Take(), ElementsAre(2, 3, 0, 1));
}

TEST_F(StepQueueTest, DeadlinesLeaveHalfABatchToTheOthers) {
  for (int i = 0; i < 100; ++i) Push(First(), absl::UnixEpoch());
  Push(First(), 100);
  const std::vector<int> batch = Take();
  ASSERT_EQ(batch.size(), 64u);
  EXPECT_LT(batch[31], 100);
  EXPECT_THAT((std::vector<int>(batch.begin() + 32, batch.begin() + 35)), ElementsAre(100, 101, 102));
}

}  // namespace
}  // namespace gruserve

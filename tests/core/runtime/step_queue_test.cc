#include "core/runtime/step_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
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
  StepTask* Push(const LoadedRandomModel& model, absl::Time deadline = absl::InfiniteFuture(),
                 absl::Time due = absl::InfiniteFuture(), Tenant* tenant = nullptr) {
    steps_.push_back(std::make_unique<NumberedStep>(model, static_cast<int>(steps_.size())));
    steps_.back()->deadline = deadline;
    steps_.back()->due = due;
    steps_.back()->tenant = tenant;
    queue_.Push(steps_.back().get());
    return steps_.back().get();
  }
  StepTask* PushDue(const LoadedRandomModel& model, absl::Time due) { return Push(model, {}, due); }
  StepTask* PushOf(Tenant* tenant, const LoadedRandomModel& model = First(),
                   absl::Time deadline = absl::InfiniteFuture()) {
    return Push(model, deadline, absl::InfiniteFuture(), tenant);
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

TEST_F(StepQueueTest, DueStepsTakeAsMuchOfABatchAsTheyNeed) {
  const absl::Time now = absl::UnixEpoch();
  Push(First(), 64);
  Push(First(), now);  // A deadline.
  for (int i = 0; i < 63; ++i) PushDue(First(), now + absl::Seconds(100 - i));
  const std::vector<int> batch = Take();
  ASSERT_EQ(batch.size(), 64u);
  EXPECT_THAT((std::vector<int>(batch.begin(), batch.begin() + 2)), ElementsAre(127, 126));
  EXPECT_EQ(batch[63], 64);
}

TEST_F(StepQueueTest, AModelWithADueStepGoesFirst) {
  Push(First());
  PushDue(Second(), absl::UnixEpoch());
  EXPECT_TRUE(queue_.due());
  EXPECT_THAT(Take(), ElementsAre(1));
  EXPECT_FALSE(queue_.due());
  EXPECT_THAT(Take(), ElementsAre(0));
}

TEST_F(StepQueueTest, TenantsShareABatchByWeight) {
  Tenant small{.name = "small", .weight = 1};
  Tenant large{.name = "large", .weight = 3};
  for (int i = 0; i < 200; ++i) PushOf(&small);
  for (int i = 0; i < 200; ++i) PushOf(&large);
  const std::vector<int> batch = Take();
  EXPECT_EQ(std::count_if(batch.begin(), batch.end(), [](int number) { return number < 200; }), 16);
}

TEST_F(StepQueueTest, TenantsShareAcrossModels) {
  Tenant busy{.name = "busy"};
  Tenant other{.name = "other"};
  for (int i = 0; i < 128; ++i) PushOf(&busy);
  Take();
  queue_.Done(First().handle().get());
  PushOf(&other, Second());
  PushOf(&busy, Second());
  EXPECT_THAT(Take(), ElementsAre(128, 129));  // Of the model of the one that has had less.
}

TEST_F(StepQueueTest, ATenantThatWasAwayStartsLevel) {
  Tenant busy{.name = "busy"};
  Tenant late{.name = "late"};
  for (int i = 0; i < 192; ++i) PushOf(&busy);
  Take();
  queue_.Done(First().handle().get());
  Take();
  queue_.Done(First().handle().get());
  for (int i = 0; i < 64; ++i) PushOf(&late);
  const std::vector<int> batch = Take();
  const auto of_late = std::count_if(batch.begin(), batch.end(), [](int number) { return number >= 192; });
  EXPECT_GE(of_late, 32);
  EXPECT_LE(of_late, 64);
}

TEST_F(StepQueueTest, DeadlinesBuyATenantNoMoreThanItsShare) {
  Tenant hurried{.name = "hurried"};
  Tenant calm{.name = "calm"};
  for (int i = 0; i < 64; ++i) PushOf(&calm);
  for (int i = 0; i < 64; ++i) {
    StepTask* step = PushOf(&hurried, First(), absl::UnixEpoch());
    EXPECT_EQ(step->tenant, &hurried);
  }
  Take();
  queue_.Done(First().handle().get());
  EXPECT_EQ(hurried.steps.virtual_time, calm.steps.virtual_time);
}

}  // namespace
}  // namespace gruserve

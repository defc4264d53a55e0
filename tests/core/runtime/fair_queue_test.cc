#include "core/runtime/fair_queue.h"

#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gruserve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Job {
  int number = 0;
  Tenant* tenant = nullptr;
  Job* next_queued = nullptr;
};

class FairQueueTest : public testing::Test {
 protected:
  void Push(Job* job) {
    shares_.Enter(shares_.Of(*job));
    queue_.Push(job, shares_.Of(*job));
  }
  // The numbers in the order in which they leave, a millisecond each.
  std::vector<int> PopAll() {
    std::vector<int> numbers;
    while (!queue_.empty()) {
      shares_.Advance(queue_.next());
      const Job& job = *queue_.PopFront();
      shares_.Leave(shares_.Of(job));
      shares_.Charge(shares_.Of(job), absl::Milliseconds(1));
      numbers.push_back(job.number);
    }
    return numbers;
  }

  Tenant gold_{.name = "gold", .weight = 2};
  Tenant trial_{.name = "trial"};
  TenantShares shares_{&Tenant::steps};
  FairQueue<Job> queue_{&shares_};
};

TEST_F(FairQueueTest, OneTenantsTasksKeepTheirOrder) {
  std::vector<Job> jobs = {{1}, {2}, {3}};
  for (Job& job : jobs) Push(&job);
  EXPECT_EQ(queue_.size(), 3);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(FairQueueTest, TenantsTakeTurnsByWeight) {
  std::vector<Job> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back({i, &trial_});
  for (int i = 10; i < 16; ++i) jobs.push_back({i, &gold_});
  for (Job& job : jobs) Push(&job);
  EXPECT_THAT(PopAll(), ElementsAre(0, 10, 11, 1, 12, 13, 2, 14, 15));
}

TEST_F(FairQueueTest, WhoComesBackStartsLevel) {
  std::vector<Job> busy = {{1, &trial_}, {2, &trial_}, {3, &trial_}};
  for (Job& job : busy) Push(&job);
  PopAll();
  for (Job& job : busy) Push(&job);
  std::vector<Job> back = {{11, &gold_}, {12, &gold_}, {13, &gold_}, {14, &gold_}};
  for (Job& job : back) Push(&job);
  // Gold was away for three milliseconds, and gets none of them back.
  EXPECT_THAT(PopAll(), ElementsAre(11, 12, 1, 13, 14, 2, 3));
}

TEST_F(FairQueueTest, TheSharesOfAnotherKindAreApart) {
  TenantShares sequences(&Tenant::sequences);
  sequences.Enter(&trial_);
  sequences.Charge(&trial_, absl::Seconds(1));
  std::vector<Job> jobs = {{1, &trial_}, {2, &gold_}};
  for (Job& job : jobs) Push(&job);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2));
}

TEST_F(FairQueueTest, ATenantsOwnTasksAreOfferedFirst) {
  std::vector<Job> jobs = {{1, &trial_}, {2, &gold_}, {3, &trial_}, {4, &gold_}, {5}};
  for (Job& job : jobs) Push(&job);
  std::vector<int> offered;
  queue_.TakeIf(&gold_, [&](const Job* job) {
    offered.push_back(job->number);
    return job->number <= 2;
  });
  EXPECT_THAT(offered, ElementsAre(2, 4, 1, 3, 5));
  EXPECT_EQ(queue_.size(), 3);
  EXPECT_THAT(PopAll(), ElementsAre(3, 4, 5));
}

TEST_F(FairQueueTest, WhatIsTakenWhollyLeavesNothing) {
  std::vector<Job> jobs = {{1, &trial_}, {2, &gold_}};
  for (Job& job : jobs) Push(&job);
  queue_.TakeIf(&trial_, [](const Job* /*job*/) { return true; });
  EXPECT_TRUE(queue_.empty());
  EXPECT_THAT(PopAll(), IsEmpty());
}

}  // namespace
}  // namespace gruserve

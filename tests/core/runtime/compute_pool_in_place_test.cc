// Short sequences that run on the thread that brings them.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "core/runtime/work_round.h"
#include "tests/core/runtime/compute_pool_fixture.h"

namespace gruserve {
namespace {

class InPlaceTest : public ComputePoolTest {
 protected:
  InPlaceTest() { Start(2, 1 << 20, 1024, /*in_place_limit=*/absl::Seconds(1)); }
};

void ExpectAsAlone(OneSequence& sequence) {
  EXPECT_TRUE(sequence.status.ok()) << sequence.status;
  std::vector<float> state = sequence.arrays.Ldnc(sequence.arrays.h_0);
  EXPECT_EQ(sequence.arrays.output,
            Small().RunAlone(sequence.arrays.batch_size, sequence.arrays.input, &state));
  EXPECT_EQ(sequence.arrays.Ldnc(sequence.arrays.states), state);
}

TEST_F(InPlaceTest, AShortSequenceIsDoneWhenSubmitReturns) {
  for (uint32_t i = 0; i < 3; ++i) {
    std::latch done(1);
    OneSequence sequence(Small(), &done, 7, 2, i);
    ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
    ASSERT_TRUE(done.try_wait());
    ExpectAsAlone(sequence);
  }
}

TEST_F(InPlaceTest, ALongOneGoesToAWorker) {
  pool_.reset();
  Start(2, 1 << 20, 1024, /*in_place_limit=*/absl::Nanoseconds(1));
  std::latch done(1);
  OneSequence sequence(Small(), &done, 7, 2, 1);
  ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
  done.wait();
  ExpectAsAlone(sequence);
}

// Otherwise a session with many chunks would call itself as deep.
TEST_F(InPlaceTest, WhatFollowsFromAnAnswerGoesToAWorker) {
  class Again : public OneSequence {
   public:
    Again(ComputePool* pool, std::latch* done) : OneSequence(Small(), done, 7, 1, 1), pool_(pool) {}
    void OnSequenceDone(const absl::Status& result) override {
      deepest = std::max(deepest.load(), ++depth_);
      if (--left_ == 0 || !pool_->SubmitSequence(this).ok()) OneSequence::OnSequenceDone(result);
      --depth_;
    }
    std::atomic<int> deepest = 0;  // Calls of this at once, on whichever threads.

   private:
    ComputePool* const pool_;
    std::atomic<int> left_ = 100;
    std::atomic<int> depth_ = 0;
  };
  std::latch done(1);
  Again again(pool_.get(), &done);
  ASSERT_TRUE(pool_->SubmitSequence(&again).ok());
  done.wait();
  pool_.reset();  // Its workers have left the task.
  EXPECT_TRUE(again.status.ok()) << again.status;
  EXPECT_LE(again.deepest, 3);
}

TEST_F(InPlaceTest, LateOrCancelledIsNotRun) {
  std::latch done(2);
  OneSequence late(Small(), &done, 5, 1, 1);
  late.deadline = clock_.Now() - absl::Milliseconds(1);
  OneSequence cancelled(Small(), &done, 5, 1, 1);
  cancelled.cancelled = true;
  ASSERT_TRUE(pool_->SubmitSequence(&late).ok());
  ASSERT_TRUE(pool_->SubmitSequence(&cancelled).ok());
  done.wait();
  EXPECT_EQ(late.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cancelled.status.code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace gruserve

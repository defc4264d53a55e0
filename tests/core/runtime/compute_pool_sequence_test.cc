#include <gtest/gtest.h>

#include <cstdint>
#include <latch>
#include <memory>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "tests/core/runtime/compute_pool_fixture.h"

namespace gruserve {
namespace {

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

// Of one track: workers share its slices by columns, where those have equal bits.
const LoadedRandomModel& Lone() {
  static const auto* const model =
      new LoadedRandomModel(6, {.input_size = 32, .hidden_size = 192}, kWorkers, "lone");
  return *model;
}

TEST_F(ComputePoolTest, SequencesSharedByColumnsAreBitEqualToTheSequenceAlone) {
  Start(kWorkers);
  for (uint32_t i = 0; i < 20; ++i) {
    std::latch done(1);
    OneSequence sequence(Lone(), &done, 160 + 30 * i, 1, i);
    ASSERT_TRUE(pool_->SubmitSequence(&sequence).ok());
    done.wait();
    ExpectAsAlone(Lone(), sequence);
  }
}

TEST_F(ComputePoolTest, CallsThatWaitedAndRunAsOneAreEachBitEqualToTheSequenceAlone) {
  Start(1);
  std::latch gate_done(1);
  Gate gate(&gate_done);
  ASSERT_TRUE(pool_->SubmitStep(&gate).ok());
  gate.WaitUntilReached();
  std::latch done(12);
  std::vector<std::unique_ptr<OneSequence>> sequences;
  for (uint32_t i = 0; i < 12; ++i) {
    sequences.push_back(
        std::make_unique<OneSequence>(i % 4 == 3 ? Wide(2) : Lone(), &done, 60 + 7 * i, 1 + i % 3, i));
    ASSERT_TRUE(pool_->SubmitSequence(sequences.back().get()).ok());
  }
  gate.Open();
  done.wait();
  gate_done.wait();
  for (uint32_t i = 0; i < 12; ++i) ExpectAsAlone(i % 4 == 3 ? Wide(2) : Lone(), *sequences[i]);
}

TEST_F(ComputePoolTest, ColumnsStandStepsAndOtherSequencesBesideThem) {
  Start(2);
  std::latch step_done(1);
  EndlessStep endless(pool_.get(), &step_done);
  ASSERT_TRUE(pool_->SubmitStep(&endless).ok());
  std::latch done(8);
  std::vector<std::unique_ptr<OneSequence>> sequences;
  for (uint32_t i = 0; i < 8; ++i) {
    sequences.push_back(std::make_unique<OneSequence>(i % 3 == 0 ? Wide(1) : Lone(), &done, 400, 1, i));
    ASSERT_TRUE(pool_->SubmitSequence(sequences.back().get()).ok());
  }
  done.wait();
  endless.Stop();
  step_done.wait();
  for (uint32_t i = 0; i < 8; ++i) ExpectAsAlone(i % 3 == 0 ? Wide(1) : Lone(), *sequences[i]);
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

}  // namespace
}  // namespace gruserve

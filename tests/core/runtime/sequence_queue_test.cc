#include "core/runtime/sequence_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/support/loaded_models.h"
#include "tests/support/sequence_arrays.h"
#include "tests/support/sequence_queue_fixture.h"

namespace gruserve {
namespace {

// Large enough to be shared by tracks.
const LoadedRandomModel& Both() {
  static const auto* const model =
      new LoadedRandomModel(1, {.input_size = 64, .hidden_size = 64, .num_directions = 2});
  return *model;
}

class Sequence : public SequenceTask {
 public:
  explicit Sequence(int64_t time_steps = 200) : arrays(Both().config(), time_steps, 8, 1) {
    model = Both().handle().get();
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& status) override { FAIL() << status; }

  SequenceArrays arrays;
};

using SequenceQueueTest = SequenceQueueFixture;

TEST_F(SequenceQueueTest, IsEmptyAtFirst) {
  EXPECT_FALSE(queue_.HasTurn(0));
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(SequenceQueueTest, WorkersJoinTheOldestAndThenBeginAnother) {
  Sequence first;
  Sequence second;
  queue_.Push(&first);
  SequenceQueue::Turn turn = Take(0);
  EXPECT_EQ(turn.run, nullptr);
  EXPECT_EQ(turn.parallelism, 2);
  EXPECT_FALSE(queue_.HasTurn(0)) << "it is not begun yet";
  queue_.Push(&second);
  EXPECT_EQ(Do(turn), std::nullopt);
  const SequenceQueue::Turn forward = Take(0);
  const SequenceQueue::Turn reverse = Take(0);
  EXPECT_EQ(forward.task, &first);
  EXPECT_EQ(reverse.task, &first);
  turn = Take(0);
  EXPECT_EQ(turn.task, &second);
  EXPECT_EQ(turn.run, nullptr);
  EXPECT_EQ(turn.parallelism, 1) << "the other worker has the first";
  EXPECT_EQ(queue_.size(), 2);
  EXPECT_EQ(Do(forward), std::nullopt);
  EXPECT_EQ(Take(0).task, &first);
}

TEST_F(SequenceQueueTest, TheLastSliceEndsTheTask) {
  Sequence sequence;
  queue_.Push(&sequence);
  std::optional<absl::Status> end;
  while (!end.has_value()) {
    ASSERT_TRUE(queue_.HasTurn(0));
    end = Do(Take(0));
  }
  EXPECT_EQ(end, absl::OkStatus());
  EXPECT_EQ(queue_.size(), 0);
  std::vector<float> state = sequence.arrays.Ldnc(sequence.arrays.h_0);
  EXPECT_EQ(sequence.arrays.output, Both().RunAlone(8, sequence.arrays.input, &state));
}

TEST_F(SequenceQueueTest, NothingToDoEndsWhenItBegins) {
  Sequence sequence(0);
  queue_.Push(&sequence);
  EXPECT_EQ(Do(Take(0)), absl::OkStatus());
}

TEST_F(SequenceQueueTest, ALateOneDoesNotBegin) {
  Sequence sequence;
  sequence.deadline = absl::UnixEpoch();
  queue_.Push(&sequence);
  now_ += absl::Seconds(1);
  const std::optional<absl::Status> end = Do(Take(0));
  EXPECT_EQ(end.value().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(sequence.run, nullptr);
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(SequenceQueueTest, ACancelledOneDoesNotBegin) {
  Sequence sequence;
  sequence.cancelled = true;
  queue_.Push(&sequence);
  EXPECT_EQ(Do(Take(0)).value().code(), absl::StatusCode::kCancelled);
}

TEST_F(SequenceQueueTest, ACancelledOneEndsWithItsLastRunningSlice) {
  Sequence sequence;
  queue_.Push(&sequence);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  const SequenceQueue::Turn forward = Take(0);
  const SequenceQueue::Turn reverse = Take(0);
  sequence.cancelled = true;
  EXPECT_EQ(Do(forward), std::nullopt);
  EXPECT_FALSE(queue_.HasTurn(0));
  EXPECT_EQ(Do(reverse).value().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(SequenceQueueTest, AFailedSliceEndsTheTask) {
  Sequence sequence;
  queue_.Push(&sequence);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  const SequenceQueue::Turn forward = Take(0);
  const SequenceQueue::Turn reverse = Take(0);
  EXPECT_EQ(Finish(forward, absl::InternalError("broken")), std::nullopt);
  EXPECT_EQ(Do(reverse), absl::InternalError("broken"));
}

TEST_F(SequenceQueueTest, AnIdleWorkerTakesOverWhatASlowOneLeaves) {
  Sequence sequence;
  queue_.Push(&sequence);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  const SequenceQueue::Turn slow = Take(1);
  // Meanwhile the other direction ends.
  while (queue_.HasTurn(0)) EXPECT_EQ(Do(Take(0)), std::nullopt);
  EXPECT_EQ(Do(slow, /*others_are_idle=*/true), std::nullopt);
  EXPECT_FALSE(queue_.HasTurn(1));
  EXPECT_TRUE(queue_.LeavesToOthers(1));
  ASSERT_TRUE(queue_.HasTurn(0));
  EXPECT_EQ(Do(Take(0), /*others_are_idle=*/true), std::nullopt);
  EXPECT_FALSE(queue_.LeavesToOthers(1));
  EXPECT_TRUE(queue_.HasTurn(0)) << "it is handed over once";
  EXPECT_TRUE(queue_.HasTurn(1));
}

TEST_F(SequenceQueueTest, AWorkerKeepsWhatItRunsAlone) {
  Sequence sequence;
  queue_.Push(&sequence);
  std::optional<absl::Status> end;
  while (!end.has_value()) {
    ASSERT_TRUE(queue_.HasTurn(0));
    end = Do(Take(0), /*others_are_idle=*/true);
  }
  EXPECT_EQ(end, absl::OkStatus());
}

TEST_F(SequenceQueueTest, TenantsShareByWeight) {
  Tenant gold{.name = "gold", .weight = 3};
  Tenant trial{.name = "trial"};
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (int i = 0; i < 80; ++i) {
    sequences.push_back(std::make_unique<Sequence>());
    sequences.back()->tenant = i < 40 ? &trial : &gold;  // The flood was there before.
    queue_.Push(sequences.back().get());
  }
  int turns[2] = {};
  for (int i = 0; i < 100; ++i) {
    const SequenceQueue::Turn turn = Take(0);
    ++turns[turn.task->tenant == &gold ? 1 : 0];
    Do(turn);
  }
  EXPECT_NEAR(turns[1], 75, 2);
}

TEST_F(SequenceQueueTest, ATenantDoesNotWaitForTheWholeOfAnothersCall) {
  Tenant busy{.name = "busy"};
  Tenant late{.name = "late"};
  Sequence running;
  running.tenant = &busy;
  queue_.Push(&running);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  Sequence second;
  second.tenant = &busy;
  queue_.Push(&second);
  const SequenceQueue::Turn turn = Take(1);
  EXPECT_EQ(turn.task, &running) << "the oldest of one tenant";
  Sequence arrived;
  arrived.tenant = &late;
  queue_.Push(&arrived);
  Do(turn);
  EXPECT_EQ(Take(0).task, &arrived);
}

TEST_F(SequenceQueueTest, ATenantThatWasAwayStartsLevel) {
  Tenant busy{.name = "busy"};
  Tenant late{.name = "late"};
  Sequence running(20'000);
  running.tenant = &busy;
  queue_.Push(&running);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Do(Take(0)), std::nullopt);
  Sequence arrived(20'000);
  arrived.tenant = &late;
  queue_.Push(&arrived);
  int turns = 0;
  for (int i = 0; i < 10; ++i) {
    const SequenceQueue::Turn turn = Take(0);
    turns += turn.task == &arrived ? 1 : 0;
    EXPECT_EQ(Do(turn), std::nullopt);
  }
  EXPECT_NEAR(turns, 5, 1);
}

TEST_F(SequenceQueueTest, ATenantLeavesPlacesForOthers) {
  Tenant busy{.name = "busy"};
  Tenant late{.name = "late"};
  std::vector<std::unique_ptr<Sequence>> sequences;
  const auto admit = [&](Tenant* tenant) {
    auto sequence = std::make_unique<Sequence>();
    sequence->tenant = tenant;
    absl::Status status = queue_.Admit(*sequence, 8);
    if (status.ok()) queue_.Push(sequences.emplace_back(std::move(sequence)).get());
    return status;
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(admit(&busy).ok()) << i;
  EXPECT_EQ(admit(&busy), absl::ResourceExhaustedError("of tenant \"busy\" 4 sequences wait; the server's "
                                                       "queue has 4 places left, which are for others"));
  EXPECT_TRUE(admit(&late).ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(admit(nullptr).ok()) << i;
  EXPECT_EQ(admit(nullptr).message(),
            "the server's queue is full: 8 sequences wait or run, the most it holds");
}

// A call of few rows, of which several make one.
struct ShortSequence : SequenceTask {
  explicit ShortSequence(int64_t time_steps = 30) : arrays(Both().config(), time_steps, 2, 1) {
    model = Both().handle().get();
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& result) override { told.push_back(result); }

  SequenceArrays arrays;
  std::vector<absl::Status> told;
};

class SequenceQueueJoinTest : public SequenceQueueFixture {
 protected:
  // Until the task at the head is done, and told.
  absl::Status RunAll() {
    while (true) {
      const SequenceQueue::Turn turn = Take(0);
      if (const std::optional<absl::Status> end = Do(turn); end.has_value()) {
        SequenceQueue::Tell(turn.task, *end);
        return *end;
      }
    }
  }

  ShortSequence first_, second_, third_;
};

TEST_F(SequenceQueueJoinTest, WhatWaitsAndFitsRunsAsOne) {
  ShortSequence longer(100);
  for (ShortSequence* task : {&first_, &longer, &second_, &third_}) queue_.Push(task);
  EXPECT_EQ(queue_.size(), 4);
  const SequenceQueue::Turn turn = Take(0);
  EXPECT_EQ(turn.task, &first_);
  EXPECT_EQ(turn.parallelism, 1) << "another call waits for the other worker";
  EXPECT_EQ(queue_.size(), 4) << "four tasks in two calls";
  EXPECT_EQ(Do(turn), std::nullopt);
  EXPECT_EQ(RunAll(), absl::OkStatus());
  EXPECT_EQ(queue_.size(), 1);
  for (ShortSequence* task : {&first_, &second_, &third_}) {
    EXPECT_EQ(task->told, std::vector{absl::OkStatus()});
    EXPECT_EQ(task->joined, nullptr);
    EXPECT_EQ(task->run, nullptr);
    std::vector<float> state = task->arrays.Ldnc(task->arrays.h_0);
    EXPECT_EQ(task->arrays.output, Both().RunAlone(2, task->arrays.input, &state));
    EXPECT_EQ(task->arrays.Ldnc(task->arrays.states), state);
  }
  EXPECT_TRUE(longer.told.empty());
  EXPECT_EQ(RunAll(), absl::OkStatus());
  EXPECT_EQ(longer.told, std::vector{absl::OkStatus()});
}

TEST_F(SequenceQueueJoinTest, EachHasItsOwnDeadlineAndCancel) {
  for (ShortSequence* task : {&first_, &second_, &third_}) queue_.Push(task);
  first_.deadline = absl::UnixEpoch();
  second_.cancelled = true;
  now_ += absl::Seconds(1);
  EXPECT_EQ(RunAll(), absl::OkStatus());
  EXPECT_EQ(first_.told.at(0).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(second_.told.at(0).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(third_.told, std::vector{absl::OkStatus()});
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(SequenceQueueJoinTest, WithoutAnyoneToRunForItEndsAtOnce) {
  for (ShortSequence* task : {&first_, &second_}) queue_.Push(task);
  first_.cancelled = true;
  second_.deadline = absl::UnixEpoch();
  now_ += absl::Seconds(1);
  EXPECT_FALSE(RunAll().ok());
  EXPECT_EQ(first_.told.at(0).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(second_.told.at(0).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queue_.size(), 0);
}

TEST_F(SequenceQueueJoinTest, StopsWhenAllAreCancelled) {
  for (ShortSequence* task : {&first_, &second_}) queue_.Push(task);
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  first_.cancelled = true;
  EXPECT_EQ(Do(Take(0)), std::nullopt);
  second_.cancelled = true;
  EXPECT_EQ(RunAll().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(second_.told.at(0).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace gruserve

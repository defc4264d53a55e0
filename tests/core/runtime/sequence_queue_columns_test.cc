#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/runtime/sequence_queue.h"
#include "tests/support/loaded_models.h"
#include "tests/support/sequence_arrays.h"
#include "tests/support/sequence_queue_fixture.h"

namespace gruserve {
namespace {

// Of one track.
const LoadedRandomModel& Lone() {
  static const auto* const model =
      new LoadedRandomModel(5, {.input_size = 24, .hidden_size = 192}, 2, "lone");
  return *model;
}

struct Call : SequenceTask {
  explicit Call(int64_t time_steps) : arrays(Lone().config(), time_steps, 1, 1) {
    model = Lone().handle().get();
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& status) override { FAIL() << status; }

  SequenceArrays arrays;
};

class SequenceQueueColumnsTest : public SequenceQueueFixture {
 protected:
  void SetUp() override {
    if (!Lone().handle()->network().bare()->has_columns()) GTEST_SKIP() << "columns give other bits here";
    queue_.Push(&call_);
    EXPECT_EQ(Do(Take(0)), std::nullopt);
  }
  // Whether the next slice is of columns; nobody helps with it.
  bool NextIsOfColumns() {
    const SequenceQueue::Turn turn = Take(0);
    const bool columns = turn.slice.gru.columns != nullptr;
    EXPECT_EQ(Do(turn), std::nullopt);
    return columns;
  }

  Call call_{500'000};  // Some hundred slices.
};

TEST_F(SequenceQueueColumnsTest, AnotherWorkerHelpsOnceASlice) {
  const SequenceQueue::Turn turn = Take(0);
  ASSERT_NE(turn.slice.gru.columns, nullptr);
  ASSERT_TRUE(queue_.HasTurn(1));
  const SequenceQueue::Turn help = Take(1);
  EXPECT_EQ(help.slice.gru.columns, turn.slice.gru.columns);
  EXPECT_NE(help.slice.gru.part, turn.slice.gru.part);
  EXPECT_FALSE(queue_.HasTurn(2));
  EXPECT_EQ(Do(turn), std::nullopt);
  EXPECT_EQ(SequenceQueue::Run(help, 1), std::nullopt) << "it comes too late";
  EXPECT_TRUE(queue_.HasTurn(1));
}

TEST_F(SequenceQueueColumnsTest, HelpCanBeSentAway) {
  queue_.SendHelpAway();  // Nobody helps: nothing.
  const SequenceQueue::Turn turn = Take(0);
  const SequenceQueue::Turn help = Take(1);
  turn.run->Open(turn.slice);
  ASSERT_TRUE(help.slice.gru.columns->Join(help.slice.gru.part));
  EXPECT_TRUE(help.slice.gru.columns->Advance(help.slice.gru.part));
  queue_.SendHelpAway();
  EXPECT_FALSE(help.slice.gru.columns->Advance(help.slice.gru.part));
  EXPECT_FALSE(help.slice.gru.columns->Win(help.slice.gru.part));
  ASSERT_TRUE(turn.slice.gru.columns->Run(turn.slice.gru.part));
  EXPECT_EQ(Finish(turn, turn.run->Close(turn.slice)), std::nullopt);
}

TEST_F(SequenceQueueColumnsTest, AWaitingCallComesBeforeHelp) {
  const SequenceQueue::Turn turn = Take(0);
  Call another(1000);
  queue_.Push(&another);
  EXPECT_EQ(Take(1).task, &another);
  EXPECT_EQ(Take(1).slice.gru.columns, turn.slice.gru.columns);
}

TEST_F(SequenceQueueColumnsTest, WithoutHelpColumnsAreTriedLessAndLess) {
  std::vector<int> tried_at;
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(queue_.HasTurn(0));
    if (NextIsOfColumns()) tried_at.push_back(i);
  }
  EXPECT_EQ(tried_at, (std::vector<int>{0, 5, 14, 31, 64, 129, 258, 387}))
      << "a slice takes 1 ms; pauses of 4, 8, 16, 32, 64, 128 and 128";
}

TEST_F(SequenceQueueColumnsTest, APauseIsNoShorterThanTheTrialWas) {
  turn_takes_ = absl::Milliseconds(50);
  EXPECT_TRUE(NextIsOfColumns());
  turn_takes_ = absl::Milliseconds(1);
  now_ += absl::Milliseconds(49);
  EXPECT_FALSE(NextIsOfColumns());
  EXPECT_TRUE(NextIsOfColumns());
}

TEST_F(SequenceQueueColumnsTest, AfterHelpAPauseIsShortAgain) {
  EXPECT_TRUE(NextIsOfColumns());
  now_ += absl::Milliseconds(4);
  const SequenceQueue::Turn turn = Take(0);
  const SequenceQueue::Turn help = Take(1);
  turn.run->Open(turn.slice);
  ASSERT_TRUE(help.slice.gru.columns->Join(help.slice.gru.part));
  while (help.slice.gru.columns->Advance(help.slice.gru.part)) {
  }
  ASSERT_TRUE(turn.slice.gru.columns->Run(turn.slice.gru.part));
  EXPECT_EQ(Finish(turn, turn.run->Close(turn.slice)), std::nullopt);
  EXPECT_TRUE(NextIsOfColumns());
  now_ += absl::Milliseconds(4);
  EXPECT_TRUE(NextIsOfColumns()) << "not 8";
}

}  // namespace
}  // namespace gruserve

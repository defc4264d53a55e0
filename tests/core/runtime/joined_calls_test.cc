#include "core/runtime/joined_calls.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/runtime/executor.h"
#include "tests/support/loaded_models.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

struct Task : SequenceTask {
  Task(const LoadedRandomModel& of, int64_t time_steps, int64_t batch_size)
      : arrays(of.config(), time_steps, batch_size, 1) {
    model = of.handle().get();
    call = arrays.call();
  }
  void OnSequenceDone(const absl::Status& result) override { status = result; }

  SequenceArrays arrays;
  absl::Status status = absl::UnknownError("not done");
};

class JoinedCallsTest : public ::testing::Test {
 protected:
  bool Fit(int64_t steps, int64_t rows, int64_t other_steps, int64_t other_rows) {
    return JoinedCalls::Fit(Task(model_, steps, rows), rows, Task(model_, other_steps, other_rows));
  }

  const LoadedRandomModel model_{1, {.input_size = 2, .hidden_size = 3}};
};

TEST_F(JoinedCallsTest, FewRowsOfAboutTheSameLengthFit) {
  EXPECT_TRUE(Fit(100, 1, 100, 1));
  EXPECT_TRUE(Fit(100, 1, 50, 15));
  EXPECT_TRUE(Fit(50, 1, 100, 1));
  EXPECT_FALSE(Fit(100, 1, 49, 1)) << "the short one would wait for the long one";
  EXPECT_FALSE(Fit(49, 1, 100, 1));
  EXPECT_FALSE(Fit(100, 1, 100, 16)) << "it is as fast alone";
  EXPECT_FALSE(Fit(100, 64, 100, 1));
}

TEST_F(JoinedCallsTest, WhatTakesMuchMemoryDoesNotFit) {
  Task first(model_, 1, 1);
  Task second(model_, 1, 1);
  first.call.time_steps = second.call.time_steps = int64_t{1} << 21;
  EXPECT_TRUE(JoinedCalls::Fit(first, 1, second));
  first.call.time_steps = second.call.time_steps = int64_t{1} << 22;
  EXPECT_FALSE(JoinedCalls::Fit(first, 1, second));
}

TEST_F(JoinedCallsTest, AnotherModelDoesNotFit) {
  const LoadedRandomModel other(2, {.input_size = 2, .hidden_size = 3});
  EXPECT_FALSE(JoinedCalls::Fit(Task(model_, 9, 1), 1, Task(other, 9, 1)));
}

TEST_F(JoinedCallsTest, TheRefusedAreLeftOut) {
  Task first(model_, 5, 2);
  Task second(model_, 7, 3);
  Task third(model_, 6, 1);
  JoinedCalls joined({&first, &second, &third});
  joined.Refuse(1, absl::DeadlineExceededError("late"));
  const SequenceCall call = joined.Join();
  EXPECT_EQ(call.time_steps, 6);
  ASSERT_EQ(call.batch_size, 3);
  EXPECT_EQ(call.length(1), 5);
  EXPECT_EQ(call.length(2), 6);
  EXPECT_EQ(call.row(2).input, third.call.input);
  EXPECT_EQ(call.states[1], first.call.states[1]);
  const absl::Status status = absl::InternalError("broken");
  EXPECT_EQ(joined.Answer(0, status), status);
  EXPECT_EQ(joined.Answer(1, status), absl::DeadlineExceededError("late"));
}

TEST_F(JoinedCallsTest, IsCancelledWhenNobodyWaits) {
  Task first(model_, 5, 2);
  Task second(model_, 7, 3);
  Task third(model_, 7, 3);
  JoinedCalls joined({&first, &second, &third});
  joined.Refuse(2, absl::DeadlineExceededError("late"));
  first.cancelled = true;
  EXPECT_FALSE(joined.cancelled());
  second.cancelled = true;
  EXPECT_TRUE(joined.cancelled());
}

}  // namespace
}  // namespace gruserve

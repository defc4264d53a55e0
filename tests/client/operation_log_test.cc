#include "client/operation_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/input_digest.h"
#include "tests/support/status_matchers.h"

namespace gruserve::client {
namespace {

using ::testing::HasSubstr;

StepResult ResultOf(int64_t index) {
  StepResult result;
  result.index = index;
  return result;
}

Tensor Input(float value) { return {{2}, {value, value}}; }

TEST(OperationLogTest, NumbersStepsChunksAndStates) {
  OperationLog log(5, 0, 0);
  EXPECT_EQ(log.Add(false, Input(1)).index, 5);
  EXPECT_EQ(log.Add(false, {{3, 2}, {1, 2, 3, 4, 5, 6}}).index, 6);
  EXPECT_EQ(log.Add(true, {}).index, 9);
  EXPECT_EQ(log.next_index(), 10);
  EXPECT_EQ(log.outstanding(), 3);
  OperationLog batched(1, 0, 2);
  batched.Add(false, {{2, 3}, {1, 2, 3, 4, 5, 6}});
  EXPECT_EQ(batched.next_index(), 2) << "a step of a batch is no chunk";
}

TEST(OperationLogTest, GivesAnswersOnceAndInOrder) {
  OperationLog log(1, 0, 0);
  for (int i = 1; i <= 3; ++i) log.Add(false, Input(1));
  log.Answer(2, ResultOf(2));
  EXPECT_FALSE(log.TakeAnswer().has_value());
  log.Answer(1, ResultOf(1));
  EXPECT_EQ((*log.TakeAnswer())->index, 1);
  log.Answer(1, ResultOf(1));
  EXPECT_EQ((*log.TakeAnswer())->index, 2);
  EXPECT_FALSE(log.TakeAnswer().has_value());
  EXPECT_EQ(log.outstanding(), 1);
}

TEST(OperationLogTest, SendsAgainWhatTheServerLacksOrTheCallerWaitsFor) {
  OperationLog log(1, 0, 0);
  for (int i = 1; i <= 6; ++i) log.Add(false, Input(1));
  for (int i = 1; i <= 3; ++i) log.Answer(i, ResultOf(i));
  for (int i = 1; i <= 3; ++i) log.TakeAnswer();
  EXPECT_EQ(log.ResendFrom(7, 0).value(), 4) << "all ran, three answers are lost";
  EXPECT_EQ(log.ResendFrom(2, 0).value(), 2) << "what ran is lost";
  log.Forget(2);
  EXPECT_EQ(log.ResendFrom(3, 0).value(), 3);
  EXPECT_THAT(log.ResendFrom(2, 0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("steps 2 to 2")));
  EXPECT_THAT(log.ResendFrom(8, 0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("somebody else")));
  log.Forget(6);
  EXPECT_EQ(log.operations().size(), 3U) << "what has no answer stays";
}

TEST(OperationLogTest, KnowsWhetherTheServerHasWhatItSent) {
  OperationLog log(1, 77, 0);
  log.Add(false, {{2, 2}, {1, 2, 3, 4}});
  log.Add(true, {{2}, {5, 6}});
  const std::vector<float> values = {1, 2, 3, 4};
  uint64_t digest = ExtendInputDigest(77, 1, 1, false, std::span(values).first(2));
  digest = ExtendInputDigest(digest, 2, 1, false, std::span(values).last(2));
  EXPECT_EQ(log.ResendFrom(3, digest).value(), 1);
  EXPECT_THAT(log.ResendFrom(3, digest + 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("by other inputs")));
  EXPECT_THAT(log.ResendFrom(2, 5), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("one chunk")));
  const std::vector<float> state = {5, 6};
  EXPECT_TRUE(log.ResendFrom(4, ExtendInputDigest(digest, 3, 1, true, state)).ok());
}

TEST(OperationLogTest, ARewindIsAnOperationOfItsOwn) {
  OperationLog log(4, 77, 0);
  log.Add(false, Input(1));
  EXPECT_EQ(log.AddRewind(3).index, 5);
  EXPECT_TRUE(log.operations().back().set_state);
  const uint64_t digest = ExtendInputDigest(77, 4, 1, false, Input(1).values);
  EXPECT_EQ(log.operations().back().digest, ExtendInputDigestByRewind(digest, 5, 3));
  EXPECT_NE(ExtendInputDigestByRewind(digest, 5, 3), ExtendInputDigestByRewind(digest, 5, 2));
  EXPECT_NE(ExtendInputDigestByRewind(digest, 5, 3), ExtendInputDigest(digest, 5, 1, true, {}));
}

TEST(OperationLogTest, WhatIsRefusedTakesNoPlace) {
  OperationLog log(1, 9, 0);
  for (int i = 1; i <= 3; ++i) log.Add(false, Input(static_cast<float>(i)));
  log.Refuse(2, absl::InvalidArgumentError("no"));
  EXPECT_EQ(log.next_index(), 3);
  EXPECT_EQ(log.Find(2)->values.values[0], 3.0f);
  log.Answer(1, ResultOf(1));
  log.Answer(2, ResultOf(2));
  EXPECT_TRUE(log.TakeAnswer()->ok());
  EXPECT_THAT(log.TakeAnswer()->status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  EXPECT_EQ((*log.TakeAnswer())->index, 2);
  OperationLog same(1, 9, 0);
  same.Add(false, Input(1));
  same.Add(false, Input(3));
  EXPECT_EQ(log.operations().back().digest, same.operations().back().digest);
}

}  // namespace
}  // namespace gruserve::client

// Rewinds over a real stream.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/server/service_fixture.h"
#include "tests/support/reference_gru.h"

namespace gruserve::server {
namespace {

using ::testing::HasSubstr;

class RewindTest : public ServiceTest {
 protected:
  static v1::SessionCommand Opening(const std::string& id, uint32_t keep_states) {
    v1::SessionCommand command = OpenCommand(1, "demo", id);
    command.mutable_open()->set_keep_states(keep_states);
    return command;
  }
  static v1::SessionCommand Rewind(int64_t rewind_to, int64_t index = 0) {
    v1::SessionCommand command = SetStateCommand(1);
    command.mutable_set_state()->set_rewind_to(rewind_to);
    command.mutable_set_state()->set_index(index);
    return command;
  }
  static void ExpectError(const v1::SessionEvent& event, int code, const std::string& text) {
    EXPECT_EQ(event.error().code(), code) << event.ShortDebugString();
    EXPECT_THAT(event.error().message(), HasSubstr(text));
  }

  std::mt19937 random_{3};
};

TEST_F(RewindTest, TheStreamGoesOnFromAnEarlierState) {
  const std::vector<float> inputs = RandomFloats(random_, 5 * 3);
  const std::vector<float> alone = models().demo.Alone(inputs, std::vector<float>(8));
  RawStream stream(server().channel());
  const v1::SessionEvent opened = stream.Call(Opening("rewound", 3));
  EXPECT_EQ(opened.opened().keep_states(), 3u);
  const auto step = [&](size_t row, int64_t index) {
    const v1::SessionEvent event = stream.Call(StepCommand(1, RawTensor({3}, {&inputs[3 * row], 3}), index));
    EXPECT_EQ(event.output().index(), index) << event.ShortDebugString();
    EXPECT_EQ(Elements(event.output().output()),
              std::vector<float>(alone.begin() + static_cast<int64_t>(4 * row),
                                 alone.begin() + static_cast<int64_t>(4 * row + 4)));
  };
  for (size_t row = 0; row < 5; ++row) step(row, static_cast<int64_t>(row) + 1);
  const v1::SessionEvent rewound = stream.Call(Rewind(3, 6));
  EXPECT_EQ(rewound.state_set().index(), 6) << rewound.ShortDebugString();
  step(3, 7);
  step(4, 8);
}

TEST_F(RewindTest, WhatCannotBeIsSaid) {
  RawStream stream(server().channel());
  ExpectError(stream.Call(Opening("", 65)), grpc::StatusCode::INVALID_ARGUMENT,
              "keep_states is 65, 0 to 64 are wanted");
  ASSERT_TRUE(stream.Call(Opening("", 2)).has_opened());
  ExpectError(stream.Call(Rewind(-1)), grpc::StatusCode::INVALID_ARGUMENT, "rewind_to is -1");
  ExpectError(stream.Call(Rewind(7, 1)), grpc::StatusCode::OUT_OF_RANGE,
              "rewind_to is 7, states are kept after steps 0");
  v1::SessionCommand both = Rewind(0, 1);
  *both.mutable_set_state()->mutable_state() = RawTensor({2, 4}, std::vector<float>(8));
  ExpectError(stream.Call(both), grpc::StatusCode::INVALID_ARGUMENT, "one of them is wanted");
  EXPECT_EQ(stream.Call(Rewind(0, 1)).state_set().index(), 1);
}

}  // namespace
}  // namespace gruserve::server

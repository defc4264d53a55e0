// Sessions that go over to another version of their model, between two operations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/session_fixture.h"

namespace gruserve {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class SessionCarryTest : public SessionFixture {
 protected:
  // Of demo()'s shapes, with other weights.
  static const LoadedRandomModel& next() {
    static const auto* const model = new LoadedRandomModel(2, demo().config(), 1, "demo", 2);
    return *model;
  }
  void CarryAll() { table_->CarrySessions(*demo().handle(), next().handle()); }
};

TEST_F(SessionCarryTest, WhatWasQueuedRunsOnTheOldWeightsAndWhatComesOnTheNew) {
  for (const int64_t batch_size : {0, 3}) {
    OpenSessionOptions options = Options("a", sink_);
    options.batch_size = batch_size;
    const auto session = Open(options);
    const int64_t rows = session->rows();
    const int64_t memory = table_->counters().memory_bytes;
    const std::vector<float> one = Input(1, rows), two = Input(1, rows), three = Input(4, rows);
    const size_t first = sink_->results().size();
    session->Submit(StepOp(one), sink_);
    session->Submit(StepOp(two), sink_);
    CarryAll();
    CarryAll();  // Once more before it could: the second one finds nothing to do.
    session->Submit(StepOp(three, 4), sink_);
    EXPECT_EQ(session->Describe().model_version, 1);
    executor_.RunAll();
    ASSERT_EQ(sink_->results().size(), first + 3);
    std::vector<float> state;
    EXPECT_THAT(sink_->results()[first].output, ElementsAreArray(demo().RunAlone(rows, one, &state)));
    EXPECT_THAT(sink_->results()[first + 1].output, ElementsAreArray(demo().RunAlone(rows, two, &state)));
    EXPECT_THAT(sink_->results()[first + 2].output, ElementsAreArray(next().RunAlone(rows, three, &state)));
    EXPECT_EQ(sink_->last().index, 3);
    EXPECT_EQ(session->Describe().model_version, 2);
    EXPECT_EQ(session->Describe().next_step, 7);
    EXPECT_FALSE(session->Describe().bit_exact);
    EXPECT_EQ(table_->counters().memory_bytes, memory);
    Run(*session, CloseOp(), sink_);
  }
  EXPECT_EQ(table_->counters().carried, 2);
}

TEST_F(SessionCarryTest, TheOldModelIsLetGo) {
  auto old = std::make_unique<LoadedRandomModel>(3, demo().config());
  const std::weak_ptr<const LoadedModel> handle = old->handle();
  OpenSessionOptions options = Options("a", sink_);
  options.model = old->handle();
  const auto session = Open(std::move(options));
  table_->CarrySessions(*old->handle(), next().handle());
  old.reset();
  EXPECT_TRUE(handle.expired());
  EXPECT_TRUE(Run(*session, StepOp(Input()), sink_).status.ok());
}

TEST_F(SessionCarryTest, WhatIsRememberedAndKeptStays) {
  OpenSessionOptions options = Options("a", sink_);
  options.remember_steps = 4;
  options.keep_states = 4;
  const auto session = Open(std::move(options));
  const std::vector<float> input = Input();
  const std::vector<float> answer = Run(*session, StepOp(input, 1, 1), sink_).output;
  CarryAll();
  const SessionOpResult again = Run(*session, StepOp(input, 1, 1), sink_);
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.output, answer);
  EXPECT_TRUE(Run(*session, RewindOp(0), sink_).status.ok());
  std::vector<float> state;
  EXPECT_THAT(Run(*session, StepOp(input), sink_).output,
              ElementsAreArray(next().RunAlone(1, input, &state)));
}

TEST_F(SessionCarryTest, NothingGoesOverToOtherShapesNorFromAnotherModel) {
  const auto session = Open("a", sink_);
  const LoadedRandomModel wider(4, {.input_size = 3, .hidden_size = 6, .num_layers = 2}, 1, "demo", 2);
  table_->CarrySessions(*demo().handle(), wider.handle());
  table_->CarrySessions(*next().handle(), demo().handle());
  EXPECT_EQ(session->model(), demo().handle());
  session->Submit(CloseOp(), sink_);
  CarryAll();
  session->Carry(next().handle());  // After its end.
  EXPECT_EQ(table_->counters().carried, 0);
}

TEST_F(SessionCarryTest, AResumeNamesTheVersionThatItHasNow) {
  Open("a", sink_);
  CarryAll();
  OpenSessionOptions options = Options("a", sink_, OpenMode::kResume);
  options.take_over = true;
  options.model = demo().handle();
  EXPECT_THAT(std::string(OpenError(options).message()),
              HasSubstr("model is \"demo\" version 1, session \"a\" has \"demo\" version 2"));
  options.model = next().handle();
  EXPECT_TRUE(table_->Open(options).ok());
}

}  // namespace
}  // namespace gruserve

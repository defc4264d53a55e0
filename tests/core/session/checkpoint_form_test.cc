#include "core/session/checkpoint_form.h"

#include <functional>
#include <string>

#include "core/session/session_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/loaded_models.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

const LoadedRandomModel& Demo() {
  static const auto* const model =
      new LoadedRandomModel(1, {.input_size = 3, .hidden_size = 5, .num_layers = 2});
  return *model;
}

// Of two rows, after three steps of which two are remembered.
Checkpoint Sample() {
  Checkpoint sample = CheckpointForm(*Demo().handle(), 2);
  sample.step = 3;
  sample.epoch = 9;
  sample.input_digest = 77;
  sample.durability = Durability::kSync;
  sample.remember_steps = 2;
  sample.state.assign(20, 0.5F);
  sample.keep_states = 2;
  sample.kept = {{0, std::vector<float>(20)}, {3, sample.state}};
  sample.remembered = {{std::vector<float>(10, 1.0F), {}}, {{}, std::vector<float>(20, 2.0F)}};
  return sample;
}

TEST(CheckpointFormTest, WhatIsAdoptedIsNobodysRecord) {
  Checkpoint from = Sample();
  from.model_name = "another";
  from.weights_sha256 = "other weights";
  from.kernel_fingerprint = "another processor";
  const Checkpoint own = AdoptCheckpoint(from, *Demo().handle()).value();
  Checkpoint expected = Sample();
  expected.epoch = 0;
  expected.input_digest = 0;
  expected.durability = Durability::kNone;
  EXPECT_EQ(own, expected);
}

TEST(CheckpointFormTest, WhatDoesNotFitIsRefused) {
  const auto refused = [](const std::function<void(Checkpoint*)>& change, const std::string& text,
                          absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    Checkpoint from = Sample();
    change(&from);
    EXPECT_THAT(AdoptCheckpoint(from, *Demo().handle()).status(), StatusIs(code, HasSubstr(text)));
  };
  refused([](Checkpoint* from) { from->remember_steps = 1; }, "remembered has 2 responses of 1");
  refused([](Checkpoint* from) { from->remember_steps = 1000; }, "at most 64 are wanted");
  refused([](Checkpoint* from) { from->remembered[0].output.pop_back(); },
          "remembered[0] has 9 output values and 0 of the state, 10 and 20, or none, are wanted");
  refused([](Checkpoint* from) { from->remembered[1].state.push_back(0); }, "remembered[1] has 0 output");
  refused([](Checkpoint* from) { from->keep_states = 1; }, "kept has 2 states of 1");
  refused([](Checkpoint* from) { from->keep_states = 65; }, "at most 64 are wanted");
  const auto other = absl::StatusCode::kFailedPrecondition;
  refused([](Checkpoint* from) { from->batch_size = 3; }, "[2, 3, 5], the checkpoint has", other);
  refused([](Checkpoint* from) { from->state_shapes[0].dims[2] = 6; }, "the checkpoint has", other);
  refused([](Checkpoint* from) { from->state_shapes.clear(); }, "the checkpoint has ", other);
}

TEST(CheckpointFormTest, AModelThatCannotStepAdoptsNothing) {
  const LoadedRandomModel both(2, {.input_size = 3, .hidden_size = 5, .num_directions = 2});
  EXPECT_THAT(AdoptCheckpoint(Sample(), *both.handle()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cannot step")));
}

}  // namespace
}  // namespace gruserve

#include "core/network/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/core/network/network_fixture.h"
#include "tests/support/sequence_arrays.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

class NetworkFormTest : public testing::TestWithParam<NetworkForm> {
 protected:
  NetworkFormTest() : network_(GetParam().Load()), replica_(NetworkReplica::Create(network_).value()) {}

  // Runs `call` step by step, all rows of a time step together.
  void RunBySteps(NetworkCall& call) {
    call.Reset();
    std::fill(call.output.begin(), call.output.end(), 0.0F);
    for (int64_t t = 0; t < call.time_steps; ++t) {
      std::vector<StepRow> rows;
      for (int64_t b = 0; b < call.batch_size; ++b) {
        if (!call.lengths.empty() && t >= call.lengths[static_cast<size_t>(b)]) continue;
        rows.push_back({call.input.data() + (t * call.batch_size + b) * network_->input_size(),
                        call.rows[static_cast<size_t>(b)],
                        call.output.data() + (t * call.batch_size + b) * network_->output_size()});
      }
      ASSERT_TRUE(replica_->RunSteps(rows).ok());
    }
  }

  std::shared_ptr<const Network> network_;
  std::unique_ptr<NetworkReplica> replica_;
};

TEST_P(NetworkFormTest, AgreesWithTheReference) {
  for (const auto& [steps, batch] : {std::pair<int64_t, int64_t>{12, 3}, {1, 1}, {3, 70}}) {
    NetworkCall call(*network_, steps, batch, 3);
    ASSERT_TRUE(replica_->RunSequence(call.call()).ok());
    const ReferenceAnswer expected =
        ReferenceNetwork(GetParam().Builder(), steps, batch, call.input, call.h_0);
    for (size_t i = 0; i < expected.output.size(); ++i)
      ASSERT_NEAR(call.output[i], expected.output[i], GetParam().tolerance) << i;
    for (size_t i = 0; i < expected.states.size(); ++i)
      ASSERT_NEAR(call.states[i], expected.states[i], 2e-6) << i;
  }
}

TEST_P(NetworkFormTest, RaggedRowsEndByThemselves) {
  NetworkCall call(*network_, 9, 4, 5);
  call.lengths = {3, 9, 1, 6};
  ASSERT_TRUE(replica_->RunSequence(call.call()).ok());
  const ReferenceAnswer expected =
      ReferenceNetwork(GetParam().Builder(), 9, 4, call.input, call.h_0, call.lengths);
  for (size_t i = 0; i < expected.output.size(); ++i)
    ASSERT_NEAR(call.output[i], expected.output[i], GetParam().tolerance) << i;
  for (int64_t b = 0; b < 4; ++b) {
    for (int64_t t = call.lengths[static_cast<size_t>(b)]; t < 9; ++t) EXPECT_EQ(*call.OutputAt(t, b), 0.0F);
  }
  // Only the last output of each row: the same bits.
  NetworkCall last(*network_, 9, 4, 5);
  last.lengths = call.lengths;
  SequenceCall sequence = last.call();
  sequence.last_output_only = true;
  ASSERT_TRUE(replica_->RunSequence(sequence).ok());
  EXPECT_TRUE(SameBits(last.states, call.states));
  for (int64_t b = 0; b < 4; ++b) {
    EXPECT_TRUE(SameBits(last.OutputAt(0, b), call.OutputAt(call.lengths[static_cast<size_t>(b)] - 1, b),
                         network_->output_size()));
  }
}

TEST_P(NetworkFormTest, StepsAndSequencesGiveEqualBits) {
  if (!network_->steppable()) {
    NetworkCall call(*network_, 1, 1, 3);
    const StepRow row{call.input.data(), call.rows[0], call.output.data()};
    EXPECT_THAT(replica_->RunSteps({&row, 1}),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("needs the whole sequence")));
    return;
  }
  for (const int64_t batch : {1, 2, 5, 17, 65, 130}) {
    NetworkCall sequence(*network_, 11, batch, 9);
    if (batch == 17) sequence.lengths = {5, 11, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5};
    ASSERT_TRUE(replica_->RunSequence(sequence.call()).ok());
    NetworkCall steps(*network_, 11, batch, 9);
    steps.lengths = sequence.lengths;
    RunBySteps(steps);
    EXPECT_TRUE(SameBits(steps.output, sequence.output)) << "batch " << batch;
    EXPECT_TRUE(SameBits(steps.states, sequence.states)) << "batch " << batch;
  }
}

TEST_P(NetworkFormTest, ARowsBitsDoNotDependOnItsNeighbours) {
  NetworkCall together(*network_, 6, 40, 13);
  ASSERT_TRUE(replica_->RunSequence(together.call()).ok());
  for (const int64_t b : {0, 7, 39}) {
    NetworkCall alone(*network_, 6, 1, 1);
    for (int64_t t = 0; t < 6; ++t) {
      std::copy_n(together.input.begin() + (t * 40 + b) * network_->input_size(), network_->input_size(),
                  alone.input.begin() + t * network_->input_size());
    }
    std::copy_n(together.h_0.begin() + b * network_->state_size(), network_->state_size(), alone.h_0.begin());
    alone.Reset();
    ASSERT_TRUE(replica_->RunSequence(alone.call()).ok());
    for (int64_t t = 0; t < 6; ++t)
      EXPECT_TRUE(SameBits(alone.OutputAt(t, 0), together.OutputAt(t, b), network_->output_size()));
    EXPECT_TRUE(SameBits(alone.rows[0], together.rows[static_cast<size_t>(b)], network_->state_size()));
  }
}

TEST_P(NetworkFormTest, ANaNStaysInItsRow) {
  NetworkCall clean(*network_, 4, 5, 21);
  ASSERT_TRUE(replica_->RunSequence(clean.call()).ok());
  NetworkCall spoilt(*network_, 4, 5, 21);
  for (int64_t i = 0; i < network_->input_size(); ++i)
    spoilt.input[static_cast<size_t>((5 + 2) * network_->input_size() + i)] = NAN;  // t = 1, b = 2.
  ASSERT_TRUE(replica_->RunSequence(spoilt.call()).ok());
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t b = 0; b < 5; ++b) {
      if (b == 2 && t == 0) continue;  // The reverse direction brings it here.
      const bool same = SameBits(clean.OutputAt(t, b), spoilt.OutputAt(t, b), network_->output_size());
      const bool is_nan = std::isnan(*spoilt.OutputAt(t, b));
      EXPECT_TRUE(b == 2 ? is_nan : same) << t << " " << b;
    }
  }
}

TEST_P(NetworkFormTest, SlicesInAnyOrderOnTwoReplicasGiveEqualBits) {
  const auto second = NetworkReplica::Create(network_).value();
  for (uint32_t seed = 0; seed < 8; ++seed) {
    NetworkCall expected(*network_, 23, 9, seed);
    if (seed % 2 == 1) expected.lengths = {23, 1, 5, 17, 2, 22, 9, 9, 3};
    ASSERT_TRUE(replica_->RunSequence(expected.call()).ok());
    NetworkCall actual(*network_, 23, 9, seed);
    actual.lengths = expected.lengths;
    NetworkRun run(network_, actual.call(), 2);
    std::mt19937 random(seed);
    std::vector<NetworkSlice> claimed;
    while (!run.done()) {
      if (claimed.size() < 2 && run.claimable() && random() % 2 == 0) {
        claimed.push_back(*run.Claim());
        continue;
      }
      if (claimed.empty()) continue;
      const size_t index = random() % claimed.size();
      const NetworkSlice slice = claimed[index];
      claimed.erase(claimed.begin() + static_cast<int64_t>(index));
      run.Finish(slice, run.Run(slice, random() % 2 == 0 ? *replica_ : *second));
    }
    ASSERT_TRUE(run.status().ok()) << run.status();
    EXPECT_TRUE(SameBits(actual.output, expected.output));
    EXPECT_TRUE(SameBits(actual.states, expected.states));
  }
}

TEST_P(NetworkFormTest, TakesBatchFirstArraysAndNoOutput) {
  NetworkCall plain(*network_, 7, 3, 2);
  ASSERT_TRUE(replica_->RunSequence(plain.call()).ok());
  NetworkCall other(*network_, 7, 3, 2);
  std::vector<float> batch_first;
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t t = 0; t < 7; ++t) {
      const auto row = other.input.begin() + (t * 3 + b) * network_->input_size();
      batch_first.insert(batch_first.end(), row, row + network_->input_size());
    }
  }
  SequenceCall call = other.call();
  call.input = batch_first.data();
  call.input_time_stride = network_->input_size();
  call.input_batch_stride = 7 * network_->input_size();
  call.output_time_stride = network_->output_size();
  call.output_batch_stride = 7 * network_->output_size();
  ASSERT_TRUE(replica_->RunSequence(call).ok());
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t t = 0; t < 7; ++t) {
      EXPECT_TRUE(SameBits(other.output.data() + (b * 7 + t) * network_->output_size(), plain.OutputAt(t, b),
                           network_->output_size()));
    }
  }
  other.Reset();
  call.output = nullptr;
  ASSERT_TRUE(replica_->RunSequence(call).ok());
  EXPECT_TRUE(SameBits(other.states, plain.states));
}

INSTANTIATE_TEST_SUITE_P(Forms, NetworkFormTest, testing::ValuesIn(kForms),
                         [](const auto& test) { return test.param.name; });

TEST(NetworkTest, SaysWhatItIs) {
  const auto network = kForms[2].Load();
  EXPECT_EQ(network->input_size(), 7);
  EXPECT_EQ(network->output_size(), 4);
  EXPECT_EQ(network->state_size(), 7 + 12 + 10);
  ASSERT_EQ(network->states().size(), 3U);
  EXPECT_EQ(network->states()[2].name, "third");
  EXPECT_EQ(network->states()[2].offset, 19);
  EXPECT_EQ(network->cells_per_step(), 3);
  EXPECT_EQ(network->bare(), nullptr);
  EXPECT_EQ(network->modules().size(), 10U);
  EXPECT_EQ(network->modules()[1].kind, "Linear");
  EXPECT_THAT(network->kernel_fingerprint(), HasSubstr(" rows "));
}

TEST(NetworkTest, ABareGruIsItsModel) {
  const GruConfig config{.input_size = 3, .hidden_size = 5, .num_layers = 2, .num_directions = 2};
  const auto network = Network::Create(RandomGru(3, config).network()).value();
  ASSERT_NE(network->bare(), nullptr);
  const auto model = RandomModel(3, config);
  EXPECT_EQ(network->kernel_fingerprint(), model->kernel_fingerprint());
  NetworkCall call(*network, 6, 4, 1);
  SequenceArrays expected(config, 6, 4, 1);
  expected.input = call.input;
  expected.h_0 = call.h_0;
  expected.Reset();
  ASSERT_TRUE(Replica::Create(model).value()->RunSequence(expected.call()).ok());
  ASSERT_TRUE(NetworkReplica::Create(network).value()->RunSequence(call.call()).ok());
  EXPECT_TRUE(SameBits(call.output, expected.output));
  EXPECT_TRUE(SameBits(call.states, expected.states));
}

TEST(NetworkTest, AGraphOfOneGruIsBare) {
  GraphBuilder builder(1);
  builder.Gru("gru", builder.Input("x", 3), {.hidden_size = 4});
  EXPECT_NE(Network::Create(std::move(builder.graph)).value()->bare(), nullptr);
}

TEST(NetworkTest, KeepsALearnedInitialState) {
  GraphBuilder builder(1);
  builder.Linear("fc", builder.Gru("gru", builder.Input("x", 3), {.hidden_size = 2}), 1);
  builder.graph.states[0].initial = {0.5F, -1};
  EXPECT_EQ(Network::Create(std::move(builder.graph)).value()->initial_state(),
            (std::vector<float>{0.5F, -1}));
}

TEST(NetworkTest, NamesTheNodeThatFails) {
  GraphBuilder builder(1);
  builder.Linear("fc", builder.Gru("gru", builder.Input("x", 3), {.hidden_size = 2}), 1);
  std::get<GruNode>(builder.graph.nodes[0].op).network.layers[0].bias.data()[0] = NAN;
  EXPECT_THAT(
      Network::Create(std::move(builder.graph)).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("node \"gru\": layer 0: bias holds nan")));
}

TEST(NetworkTest, RefusesACallThatKeepsTooMuch) {
  GraphBuilder builder(1);
  builder.Linear("out",
                 builder.Gru("gru", builder.Linear("in", builder.Input("x", 1), 256), {.hidden_size = 2}), 1);
  const auto network = Network::Create(std::move(builder.graph)).value();
  const std::vector<float> input(static_cast<size_t>(1'100'000));
  std::vector<float> states(2);
  float* const row = states.data();
  NetworkRun run(network,
                 {.time_steps = 1'100'000,
                  .batch_size = 1,
                  .input = input.data(),
                  .input_time_stride = 1,
                  .input_batch_stride = 1,
                  .states = {&row, 1}},
                 1);
  EXPECT_TRUE(run.done());
  EXPECT_THAT(run.status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("keeps 1135200000 bytes")));
}

TEST(NetworkTest, InBf16StepsAndSequencesGiveEqualBitsToo) {
  if (!CheckProcessorHas(ComputeDtype::kBf16).ok()) {
    EXPECT_EQ(Network::Create(std::move(kForms[0].Builder().graph), ComputeDtype::kBf16).status(),
              absl::Status(absl::StatusCode::kFailedPrecondition,
                           absl::StrCat("node \"gru1\": ",
                                        std::string(CheckProcessorHas(ComputeDtype::kBf16).message()))));
    return;
  }
  for (const NetworkForm& form : {kForms[0]}) {
    const auto network = Network::Create(std::move(form.Builder().graph), ComputeDtype::kBf16).value();
    const auto replica = NetworkReplica::Create(network).value();
    EXPECT_THAT(network->kernel_fingerprint(), HasSubstr(" bf16 "));
    NetworkCall sequence(*network, 7, 5, 2);
    ASSERT_TRUE(replica->RunSequence(sequence.call()).ok());
    NetworkCall steps(*network, 7, 5, 2);
    for (int64_t t = 0; t < 7; ++t) {
      for (int64_t b = 0; b < 5; ++b) {
        const int64_t row = t * 5 + b;
        const StepRow step{steps.input.data() + row * network->input_size(),
                           steps.rows[static_cast<size_t>(b)],
                           steps.output.data() + row * network->output_size()};
        ASSERT_TRUE(replica->RunSteps({&step, 1}).ok());
      }
    }
    EXPECT_TRUE(SameBits(steps.output, sequence.output)) << form.name;
    EXPECT_TRUE(SameBits(steps.states, sequence.states)) << form.name;
  }
}

TEST(NetworkTest, AnEmptyCallIsDoneAtOnce) {
  const auto network = kForms[0].Load();
  NetworkRun run(network, {}, 1);
  EXPECT_TRUE(run.done());
  EXPECT_TRUE(run.status().ok());
}

TEST(NetworkTest, AnIndexOutsideTheTableGivesNaNInItsRowAlone) {
  const auto network = kForms[1].Load();
  const auto replica = NetworkReplica::Create(network).value();
  NetworkCall call(*network, 1, 4, 1);
  call.input = {3, 11, -1, 0.5F};
  ASSERT_TRUE(replica->RunSequence(call.call()).ok());
  EXPECT_FALSE(std::isnan(*call.OutputAt(0, 0)));
  for (const int64_t b : {1, 2, 3}) EXPECT_TRUE(std::isnan(*call.OutputAt(0, b)));
}

TEST(NetworkTest, GoesOnFromWhatTakesGivesAndKeepsTheSame) {
  const auto make = [](uint32_t seed, int64_t words, int64_t hidden, int64_t classes, const char* state) {
    GraphBuilder b(seed);
    const ValueId x = b.Embedding("embed", b.Input("word", 1), words, 6);
    b.Linear("fc", b.Gru(state, x, {.hidden_size = hidden}), classes);
    return Network::Create(std::move(b.graph)).value();
  };
  const auto network = make(1, 11, 8, 4, "gru");
  EXPECT_TRUE(make(2, 11, 8, 4, "gru")->CanGoOnFrom(*network));
  EXPECT_FALSE(make(2, 10, 8, 4, "gru")->CanGoOnFrom(*network)) << "an index may be none of its";
  EXPECT_FALSE(make(2, 11, 9, 4, "gru")->CanGoOnFrom(*network));
  EXPECT_FALSE(make(2, 11, 8, 5, "gru")->CanGoOnFrom(*network));
  EXPECT_FALSE(make(2, 11, 8, 4, "other")->CanGoOnFrom(*network));
}

}  // namespace
}  // namespace gruserve

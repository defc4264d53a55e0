// Random graphs: any mix of nodes gives the reference's numbers, and the same bits as a
// sequence, by slices on two replicas, and step by step.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/core/network/network_fixture.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

constexpr uint32_t kSeeds = 24;
// Functions that keep numbers of this size in bounds.
constexpr UnaryFunction kTame[] = {
    UnaryFunction::kTanh,    UnaryFunction::kSigmoid, UnaryFunction::kLeakyRelu, UnaryFunction::kSoftplus,
    UnaryFunction::kGeluErf, UnaryFunction::kSwish,   UnaryFunction::kAbs,       UnaryFunction::kErf};

class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : builder(seed), random_(seed) {
    for (uint32_t i = 0; i <= Draw(2); ++i) builder.Input("x" + std::to_string(i), 1 + Draw(6));
    const bool reverses = Draw(4) == 0;
    for (int node = 0; node < 12; ++node) AddNode("n" + std::to_string(node), reverses);
    // Whatever came, at least one GRU, and the last value is the output.
    builder.Gru("last_gru", Any(), {.hidden_size = 1 + Draw(8)});
    AddNode("last", false);
  }

  GraphBuilder builder;

 private:
  int64_t Draw(int64_t below) { return static_cast<int64_t>(random_() % static_cast<uint32_t>(below)); }
  ValueId values() const {
    return static_cast<ValueId>(builder.graph.inputs.size() + builder.graph.nodes.size());
  }
  ValueId Any() {
    return Draw(3) == 0 ? Draw(values()) : values() - 1 - Draw(std::min<int64_t>(3, values()));
  }

  void AddNode(const std::string& name, bool reverses) {
    const ValueId x = Any();
    switch (Draw(reverses ? 13 : 12)) {
      case 0:
        builder.Linear(name, x, 1 + Draw(9));
        break;
      case 1:
        builder.Unary(name, x, kTame[Draw(std::size(kTame))], 0.5F);
        break;
      case 2:
        builder.Add(name, ConcatNode{}, {x, Any(), Any()});
        break;
      case 3:
        builder.Add(name, SliceNode{.begin = 0, .width = 1 + Draw(builder.width(x))}, {x});
        break;
      case 4:
        builder.Add(name, SoftmaxNode{.log = Draw(2) == 0}, {x});
        break;
      case 5:
        if (builder.width(x) > 2) builder.LayerNorm(name, x);
        break;
      case 6:
        builder.Add(name, ReduceNode{.function = static_cast<ReduceFunction>(Draw(4))}, {x});
        break;
      case 7: {
        const ValueId one = builder.Add(name, ReduceNode{}, {Any()});
        builder.Add(name, BinaryNode{.function = BinaryFunction::kMul},
                    {Draw(2) == 0 ? one : x, Draw(2) == 0 ? x : one});
        break;
      }
      case 8:
        builder.Add(name,
                    BinaryNode{.function = static_cast<BinaryFunction>(Draw(2)),
                               .constant = builder.Random(builder.width(x)),
                               .constant_first = Draw(2) == 0},
                    {x});
        break;
      case 9:
        builder.ReluCell(name, x, 1 + Draw(7));
        break;
      case 10:
      case 11:
        builder.Gru(name, x,
                    {.cell_kind = Draw(3) == 0 ? CellKind::kResetBefore : CellKind::kLinearBeforeReset,
                     .hidden_size = 1 + Draw(8),
                     .num_layers = 1 + Draw(2),
                     .num_directions = reverses && Draw(2) == 0 ? 2 : 1});
        break;
      default:
        builder.Add(name, ReverseTimeNode{}, {x});
    }
  }

  std::mt19937 random_;
};

void ExpectSame(const NetworkCall& a, const NetworkCall& b) {
  EXPECT_TRUE(SameBits(a.output, b.output));
  EXPECT_TRUE(SameBits(a.states, b.states));
}

class RandomNetworkTest : public testing::TestWithParam<uint32_t> {};

TEST_P(RandomNetworkTest, HasTheReferencesNumbersAndOneSetOfBits) {
  const uint32_t seed = GetParam();
  const RandomGraph witness(seed);
  const auto network = Network::Create(std::move(RandomGraph(seed).builder.graph)).value();
  const auto replica = NetworkReplica::Create(network).value();
  std::mt19937 random(seed);
  NetworkCall sequence(*network, 8, 5, seed);
  if (seed % 2 == 1) sequence.lengths = {8, 2, 1, 5, 8};
  ASSERT_TRUE(replica->RunSequence(sequence.call()).ok());

  const ReferenceAnswer expected =
      ReferenceNetwork(witness.builder, 8, 5, sequence.input, sequence.h_0, sequence.lengths);
  for (size_t i = 0; i < expected.output.size(); ++i) {
    ASSERT_NEAR(sequence.output[i], expected.output[i], 5e-5 * std::max(1.0, std::abs(expected.output[i])));
  }
  for (size_t i = 0; i < expected.states.size(); ++i)
    ASSERT_NEAR(sequence.states[i], expected.states[i], 5e-5);

  const auto second = NetworkReplica::Create(network).value();
  NetworkCall sliced(*network, 8, 5, seed);
  sliced.lengths = sequence.lengths;
  NetworkRun run(network, sliced.call(), 2);
  while (!run.done()) {
    const NetworkSlice slice = *run.Claim();
    run.Finish(slice, run.Run(slice, random() % 2 == 0 ? *replica : *second));
  }
  ASSERT_TRUE(run.status().ok()) << run.status();
  ExpectSame(sliced, sequence);
  if (!network->steppable()) return;

  NetworkCall steps(*network, 8, 5, seed);
  std::fill(steps.output.begin(), steps.output.end(), 0.0F);
  for (int64_t t = 0; t < 8; ++t) {
    std::vector<StepRow> rows;
    for (int64_t b = 0; b < 5; ++b) {
      if (!sequence.lengths.empty() && t >= sequence.lengths[static_cast<size_t>(b)]) continue;
      const int64_t row = t * 5 + b;
      rows.push_back({steps.input.data() + row * network->input_size(), steps.rows[static_cast<size_t>(b)],
                      steps.output.data() + row * network->output_size()});
    }
    std::shuffle(rows.begin(), rows.end(), random);
    const auto half = static_cast<std::ptrdiff_t>(rows.size() / 2);
    ASSERT_TRUE(replica->RunSteps({rows.begin(), rows.begin() + half}).ok());
    ASSERT_TRUE(replica->RunSteps({rows.begin() + half, rows.end()}).ok());
  }
  ExpectSame(steps, sequence);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworkTest, testing::Range(0U, kSeeds));

}  // namespace
}  // namespace gruserve

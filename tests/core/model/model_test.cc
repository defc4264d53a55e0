#include "core/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

using ::testing::MatchesRegex;

constexpr GruConfig kConfig{.input_size = 3, .hidden_size = 5, .num_layers = 2, .num_directions = 2};

TEST(ModelTest, KeepsWhatItIsGiven) {
  const RandomGruNetwork gru = RandomGru(3, kConfig);
  const std::shared_ptr<const Model> model = Model::Create(gru.network()).value();
  EXPECT_EQ(model->config(), kConfig);
  EXPECT_EQ(model->parameter_count(), 2 * (15 * 3 + 15 * 5 + 30) + 2 * (15 * 10 + 15 * 5 + 30));
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      // Gate u of input 0, unit 0 is PyTorch's z: row H.
      const StateDictLayer& wanted = gru.layers[static_cast<size_t>(2 * layer + direction)];
      const auto width = static_cast<size_t>(kConfig.layer_input_size(layer));
      EXPECT_EQ(model->weights(layer, direction).weights_layer.data()[0], wanted.weight_ih[5 * width]);
    }
  }
}

TEST(ModelTest, FingerprintFollowsTheShapeNotTheWeights) {
  const std::string one = RandomModel(1, kConfig)->kernel_fingerprint();
  EXPECT_THAT(one, MatchesRegex("oneDNN [0-9.]+ isa 0x[0-9a-f]+ f32 buckets [0-9a-f]+"));
  EXPECT_EQ(one, RandomModel(2, kConfig)->kernel_fingerprint());
}

constexpr GruConfig InBf16(GruConfig config) {
  config.compute_dtype = ComputeDtype::kBf16;
  return config;
}

TEST(ModelTest, Bf16IsInTheFingerprintAndHalvesTheWeights) {
  constexpr GruConfig kWide{.input_size = 128, .hidden_size = 256};
  if (const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16); !has.ok()) {
    EXPECT_EQ(Model::Create(RandomGru(3, InBf16(kWide)).network()).status(), has);
    return;
  }
  const std::shared_ptr<const Model> bf16 = RandomModel(3, InBf16(kWide));
  const std::shared_ptr<const Model> f32 = RandomModel(3, kWide);
  EXPECT_THAT(bf16->kernel_fingerprint(),
              MatchesRegex("oneDNN [0-9.]+ isa 0x[0-9a-f]+ bf16 buckets [0-9a-f]+"));
  EXPECT_EQ(bf16->layer_shape(0).dtype, ComputeDtype::kBf16);
  // Two pages for what oneDNN notes beside them.
  const auto half = [](const AlignedBuffer& weights) { return weights.size() / 2 + 2 * 1024; };
  EXPECT_LE(bf16->weights(0, 0).weights_layer.size(), half(f32->weights(0, 0).weights_layer));
  EXPECT_LE(bf16->weights(0, 0).weights_iter.size(), half(f32->weights(0, 0).weights_iter));
  EXPECT_EQ(bf16->weights(0, 0).bias.size(), f32->weights(0, 0).bias.size());
}

TEST(ModelTest, WeightsThatBf16CannotHoldAreRefused) {
  GruNetwork network = RandomGru(3, InBf16(kConfig)).network();
  network.layers[1].weights_iter.data()[5] = std::numeric_limits<float>::max();
  const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16);
  EXPECT_EQ(Model::Create(std::move(network)).status(),
            has.ok()
                ? absl::InvalidArgumentError("layer 0 reverse: weight_hh holds 3.40282e+38, which is too "
                                             "large for compute_dtype bf16")
                : has);
}

struct BadNetwork {
  const char* name;
  void (*spoil)(GruNetwork&);
  const char* message;
};

class BadNetworkTest : public ::testing::TestWithParam<BadNetwork> {};

TEST_P(BadNetworkTest, IsInvalidArgument) {
  GruNetwork network = RandomGru(3, kConfig).network();
  GetParam().spoil(network);
  const absl::Status status = Model::Create(std::move(network)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), MatchesRegex(GetParam().message));
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr BadNetwork kBadNetworks[] = {
    {"NanInput", [](GruNetwork& n) { n.layers[0].weights_layer.data()[7] = kNan; },
     "layer 0: weight_ih holds nan, expected finite values"},
    {"InfiniteRecurrent", [](GruNetwork& n) { n.layers[3].weights_iter.data()[74] = kInfinity; },
     "layer 1 reverse: weight_hh holds inf, expected finite values"},
    {"InfiniteBias", [](GruNetwork& n) { n.layers[2].bias.data()[19] = -kInfinity; },
     "layer 1: bias holds -inf, expected finite values"},
    {"ShortBias", [](GruNetwork& n) { n.layers[1].bias = AlignedBuffer(15); },
     "layer 0 reverse: bias has 15 values, expected 20"},
    {"FewLayers", [](GruNetwork& n) { n.layers.pop_back(); },
     "weights of 3 layers and directions came, expected 2 \\* 2"},
    {"NoInput", [](GruNetwork& n) { n.config.input_size = 0; }, "input_size is 0, expected 1 or more"},
    {"NoHidden", [](GruNetwork& n) { n.config.hidden_size = -1; }, "hidden_size is -1, expected 1 or more"},
    {"NoLayers", [](GruNetwork& n) { n.config.num_layers = 0; }, "num_layers is 0, expected 1 or more"},
    {"ThreeDirections", [](GruNetwork& n) { n.config.num_directions = 3; },
     "num_directions is 3, expected 1 or 2"},
    {"HugeHidden", [](GruNetwork& n) { n.config.hidden_size = int64_t{1} << 40; },
     "layer 0: weight_ih has 45 values, expected [0-9]+"},
};

INSTANTIATE_TEST_SUITE_P(Rows, BadNetworkTest, ::testing::ValuesIn(kBadNetworks),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gruserve

#include "core/model/gru_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gruserve {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

// Input 2, hidden 1: rows r, z, n.
constexpr float kWeightIh[] = {1, 2, 3, 4, 5, 6};
constexpr float kWeightHh[] = {7, 8, 9};
constexpr float kBiasIh[] = {10, 20, 30};
constexpr float kBiasHh[] = {1, 2, 3};

TEST(FromPyTorchTest, ReordersGatesAndTransposes) {
  const GruLayerWeights weights = FromPyTorch({kWeightIh, kWeightHh, kBiasIh, kBiasHh}, 2, 1);
  EXPECT_EQ(weights.input_size, 2);
  EXPECT_EQ(weights.hidden_size, 1);
  EXPECT_THAT(weights.weights_layer.span(), ElementsAre(3, 1, 5, 4, 2, 6));
  EXPECT_THAT(weights.weights_iter.span(), ElementsAre(8, 7, 9));
  EXPECT_THAT(weights.bias.span(), ElementsAre(22, 11, 30, 3));
}

TEST(FromPyTorchTest, AddsTheCandidatesBiasesForResetBefore) {
  const GruLayerWeights weights =
      FromPyTorch({kWeightIh, kWeightHh, kBiasIh, kBiasHh}, 2, 1, CellKind::kResetBefore);
  EXPECT_THAT(weights.bias.span(), ElementsAre(22, 11, 33));
}

TEST(FromPyTorchTest, AbsentBiasIsZero) {
  EXPECT_THAT(FromPyTorch({kWeightIh, kWeightHh, {}, {}}, 2, 1).bias.span(), Each(0.0F));
  EXPECT_EQ(FromPyTorch({kWeightIh, kWeightHh, {}, {}}, 2, 1).bias.size(), 4);
  EXPECT_EQ(FromPyTorch({kWeightIh, kWeightHh, {}, {}}, 2, 1, CellKind::kResetBefore).bias.size(), 3);
}

}  // namespace
}  // namespace gruserve

#include "core/engine/gru_layer_weights.h"

#include <gtest/gtest.h>

#include <random>

#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"
#include "core/engine/row_product.h"

namespace gruserve {
namespace {

GruLayerWeights Draw(int64_t input, int64_t hidden) {
  std::mt19937 random(9);
  return RandomWeights(random, input, hidden, 1.0F);
}

void ExpectRowsApart(const AlignedBuffer& kept, const AlignedBuffer& plain, int64_t inputs, int64_t outputs) {
  const int64_t stride = WeightStride(outputs);
  ASSERT_GE(kept.size(), (inputs - 1) * stride + outputs);
  for (int64_t row = 0; row < inputs; ++row) {
    for (int64_t i = 0; i < outputs; ++i) {
      ASSERT_EQ(kept.data()[row * stride + i], plain.data()[row * outputs + i]) << row << ", " << i;
    }
  }
}

TEST(WeightStrideTest, BeginsOnCacheLinesThatShareNoSets) {
  EXPECT_EQ(WeightStride(1), 16);
  EXPECT_EQ(WeightStride(3 * 500), 1504);
  EXPECT_EQ(WeightStride(3 * 192), 3 * 192) << "as it is";
  EXPECT_EQ(WeightStride(3 * 256), 768 + 16);
  EXPECT_EQ(WeightStride(3 * 1024), 3072 + 16);
}

TEST(LayOutWeightsTest, F32RowsLieTheirStrideApart) {
  const SingleOmpThread single_thread;
  for (const int64_t hidden : {5, 16, 256}) {
    constexpr int64_t kInput = 7;
    const GruLayerWeights plain = Draw(kInput, hidden);
    const GruLayerWeights kept =
        LayOutWeights({.input_size = kInput, .hidden_size = hidden}, Draw(kInput, hidden)).value();
    ExpectRowsApart(kept.weights_layer, plain.weights_layer, kInput, 3 * hidden);
    ExpectRowsApart(kept.weights_iter, plain.weights_iter, hidden, 3 * hidden);
  }
}

}  // namespace
}  // namespace gruserve

#include "core/engine/lone_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/base/aligned_buffer.h"
#include "core/engine/bucket_set.h"
#include "core/engine/layer_kernel.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"
#include "core/engine/row_product.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

class LoneRowTest : public ::testing::TestWithParam<GruLayerShape> {
 protected:
  // Runs one bucket; the row of interest is in every place of its batch.
  AlignedBuffer Run(const Bucket& bucket, const float* inputs, const AlignedBuffer& state) {
    const int64_t input = GetParam().input_size;
    const int64_t hidden = GetParam().hidden_size;
    LayerKernel kernel = LayerKernel::Create(GetParam(), bucket).value();
    Scratchpad scratchpad(kernel.scratchpad_bytes());
    const int64_t batch = bucket.batch_size;
    AlignedBuffer src_layer(bucket.time_steps * batch * input), src_iter(batch * hidden);
    for (int64_t i = 0; i < batch; ++i) {
      std::copy_n(state.data(), hidden, src_iter.data() + i * hidden);
      for (int64_t t = 0; t < bucket.time_steps; ++t) {
        std::copy_n(inputs + t * input, input, src_layer.data() + (t * batch + i) * input);
      }
    }
    AlignedBuffer dst_layer(bucket.time_steps * batch * hidden);
    EXPECT_TRUE(kernel
                    .Run({.weights = &weights_,
                          .src_layer = src_layer.data(),
                          .src_iter = src_iter.data(),
                          .dst_layer = dst_layer.data(),
                          .scratchpad = scratchpad.data()})
                    .ok());
    return dst_layer;
  }

  const SingleOmpThread single_thread_;
  std::mt19937 random_{11};
  const float bound_ = 1.0F / std::sqrt(static_cast<float>(GetParam().hidden_size));
  const GruLayerWeights weights_ =
      LayOutWeights(GetParam(), RandomWeights(random_, GetParam().input_size, GetParam().hidden_size, bound_))
          .value();
};

// Whatever the block, the numbers are a GRU's.
TEST_P(LoneRowTest, IsThePrimitivesButForTheLastBits) {
  constexpr int64_t kSteps = 4;
  const int64_t hidden = GetParam().hidden_size;
  const AlignedBuffer inputs = RandomBuffer(random_, kSteps * GetParam().input_size, 1.0F);
  const AlignedBuffer state = RandomBuffer(random_, hidden, 1.0F);
  const AlignedBuffer expected = Run({kSteps, 1}, inputs.data(), state);
  for (const int64_t block : {7, 256, 384}) {
    const AlignedBuffer got = Run({kSteps, 1, block}, inputs.data(), state);
    for (int64_t i = 0; i < kSteps * hidden; ++i) ASSERT_NEAR(got.data()[i], expected.data()[i], 1e-5) << i;
  }
}

// As it was chosen, primitive or products: bit for bit, in one call or step by step.
TEST_P(LoneRowTest, HasTheBitsOfABatch) {
  const auto buckets = BucketSet::Choose(GetParam()).value();
  if (buckets->buckets()[buckets->Pick(1, 1)].batch_size != 1) return;  // A lone row runs as two.
  const int64_t block = LoneRowBlock(buckets->buckets());
  const int64_t input = GetParam().input_size;
  const int64_t hidden = GetParam().hidden_size;
  constexpr int64_t kSteps = 16;
  const AlignedBuffer inputs = RandomBuffer(random_, kSteps * input, 1.0F);
  AlignedBuffer state = RandomBuffer(random_, hidden, 1.0F);
  const AlignedBuffer whole = Run({kSteps, 1, block}, inputs.data(), state);
  for (int64_t t = 0; t < kSteps; ++t) {
    const AlignedBuffer pair = Run({1, 2}, inputs.data() + t * input, state);
    state = Run({1, 1, block}, inputs.data() + t * input, state);
    const size_t bytes = static_cast<size_t>(hidden) * sizeof(float);
    ASSERT_EQ(std::memcmp(state.data(), pair.data(), bytes), 0) << "step " << t;
    ASSERT_EQ(std::memcmp(state.data(), whole.data() + t * hidden, bytes), 0) << "step " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LoneRowTest,
                         ::testing::Values(GruLayerShape{.input_size = 16, .hidden_size = 32},
                                           GruLayerShape{.input_size = 7, .hidden_size = 501},
                                           GruLayerShape{.input_size = 512, .hidden_size = 512},
                                           GruLayerShape{.input_size = 900, .hidden_size = 40},
                                           GruLayerShape{.input_size = 64, .hidden_size = 1100}),
                         [](const auto& shape) {
                           return "I" + std::to_string(shape.param.input_size) + "H" +
                                  std::to_string(shape.param.hidden_size);
                         });

TEST(LoneRowFitTest, NeedsAPlainCell) {
  GruLayerShape shape{.input_size = 3, .hidden_size = 4};
  EXPECT_TRUE(LoneRow::Fits(shape));
  shape.cell_kind = CellKind::kResetBefore;
  EXPECT_FALSE(LoneRow::Fits(shape));
  shape = {.input_size = 3, .hidden_size = 4, .dtype = ComputeDtype::kBf16};
  EXPECT_FALSE(LoneRow::Fits(shape));
}

// Each output the sum over the inputs, whatever the blocks: 10 in blocks of 4 are 4, 3, 3.
TEST(RowProductTest, BlocksAddUp) {
  const SingleOmpThread single_thread;
  constexpr int64_t kInputs = 10, kOutputs = 5, kStride = 8;
  AlignedBuffer src(kInputs), matrix(kInputs * kStride), product(kOutputs), partial(kOutputs);
  for (int64_t k = 0; k < kInputs; ++k) src.data()[k] = static_cast<float>(k + 1);
  for (int64_t i = 0; i < kInputs * kStride; ++i) matrix.data()[i] = static_cast<float>(i % 7);
  const WeightMatrix weights = {matrix.data(), kInputs, kOutputs, kStride};
  for (const int64_t block : {0, 1, 4, 10, 20}) {
    ASSERT_TRUE(MultiplyOneRow(src.data(), weights, block, product.data(), partial.data()).ok());
    for (int64_t j = 0; j < kOutputs; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < kInputs; ++k) sum += src.data()[k] * matrix.data()[k * kStride + j];
      EXPECT_EQ(product.data()[j], sum) << "block " << block << " output " << j;
    }
  }
}

}  // namespace
}  // namespace gruserve

#include "core/engine/weight_panels.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"

namespace gruserve {
namespace {

class WeightPanelsTest : public ::testing::Test {
 protected:
  static constexpr int64_t kBlock = 384;  // Of a lone row's inputs.

  // Two parts of a matrix twice as wide.
  WeightPanels Make(int64_t inputs, int64_t outputs) {
    inputs_ = inputs;
    stride_ = 2 * outputs;
    matrix_ = RandomBuffer(random_, inputs * stride_, 0.1F);
    const int64_t left = outputs / 3;
    columns_.clear();
    for (int64_t i = 0; i < outputs; ++i) columns_.push_back(i < left ? i : i + left);
    const std::array<WeightMatrix, 2> parts = {
        WeightMatrix{matrix_.data(), inputs, left, stride_},
        WeightMatrix{matrix_.data() + 2 * left, inputs, outputs - left, stride_}};
    return WeightPanels(parts);
  }

  void ExpectProducts(const WeightPanels& panels, int64_t rows) {
    const AlignedBuffer src = RandomBuffer(random_, rows * inputs_, 1.0F);
    AlignedBuffer products(rows * panels.outputs());
    AlignedBuffer partial(panels.outputs());
    ASSERT_TRUE(panels.Multiply(rows, src.data(), kBlock, products.data(), partial.data()).ok());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < panels.outputs(); ++i) {
        double sum = 0;
        for (int64_t k = 0; k < inputs_; ++k) {
          sum += double{src.data()[row * inputs_ + k]} *
                 matrix_.data()[k * stride_ + columns_[static_cast<size_t>(i)]];
        }
        ASSERT_NEAR(products.data()[row * panels.outputs() + i], sum, 1e-4) << row << ", " << i;
      }
    }
  }

  const SingleOmpThread single_thread_;
  std::mt19937 random_{3};
  int64_t inputs_ = 0;
  int64_t stride_ = 0;
  AlignedBuffer matrix_;
  std::vector<int64_t> columns_;  // Of the matrix, one an output.
};

TEST_F(WeightPanelsTest, WhatTheCachesHoldIsOnePanel) {
  const WeightPanels panels = Make(100, 70);
  EXPECT_EQ(panels.width(), 70);
  for (const int64_t rows : {1, 2, 4}) ExpectProducts(panels, rows);
}

TEST_F(WeightPanelsTest, MoreIsCutIntoPanelsOfWholeCacheLines) {
  const WeightPanels panels = Make(2100, 1100);
  EXPECT_EQ(panels.width(), 224);
  EXPECT_EQ(panels.inputs(), 2100);
  EXPECT_EQ(panels.outputs(), 1100);
  for (const int64_t rows : {1, 2, 4}) ExpectProducts(panels, rows);
}

}  // namespace
}  // namespace gruserve

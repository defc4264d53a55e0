#include "core/engine/bf16_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <random>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/bf16.h"
#include "core/engine/compute_dtype.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"

namespace gruserve {
namespace {

class Bf16ProductTest : public ::testing::Test {
 protected:
  static constexpr int64_t kInputs = 250;  // No block of them is of whole instructions.
  static constexpr int64_t kLeft = 40;
  static constexpr int64_t kOutputs = 112;
  static constexpr int64_t kStride = 150;
  static constexpr std::array<int64_t, 3> kRows = {1, 3, 12};

  void SetUp() override {
    if (const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16); !has.ok()) GTEST_SKIP() << has;
    try {
      Make({kInputs});
    } catch (const std::exception& error) {
      GTEST_SKIP() << "not with this oneDNN: " << error.what();
    }
  }

  // Two parts, with columns between them that are not theirs.
  Bf16Product Make(const std::vector<int64_t>& blocks) const {
    const std::array<WeightMatrix, 2> parts = {
        WeightMatrix{matrix_.data(), kInputs, kLeft, kStride},
        WeightMatrix{matrix_.data() + kStride - (kOutputs - kLeft), kInputs, kOutputs - kLeft, kStride}};
    return Bf16Product(parts, blocks, kRows);
  }

  float Weight(int64_t input, int64_t output) const {
    const int64_t column = output < kLeft ? output : kStride - kOutputs + output;
    return FromBf16(RoundToBf16(matrix_.data()[input * kStride + column]));
  }

  const SingleOmpThread single_thread_;
  std::mt19937 random_{5};
  const AlignedBuffer matrix_ = RandomBuffer(random_, kInputs* kStride, 0.1F);
  const AlignedBuffer src_ = RandomBuffer(random_, kRows.back() * kInputs, 1.0F);
};

TEST_F(Bf16ProductTest, IsThatOfRoundedNumbers) {
  const Bf16Product product = Make({102, 98, 50});
  Bf16Product::Room room(product);
  for (const int64_t rows : kRows) {
    AlignedBuffer products(rows * kOutputs);
    std::ranges::fill(products.span(), 99.0F);  // Is written over, not added to.
    ASSERT_TRUE(product.Multiply(rows, src_.data(), products.data(), room).ok());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t output = 0; output < kOutputs; ++output) {
        double sum = 0;
        for (int64_t input = 0; input < kInputs; ++input) {
          sum += double{FromBf16(RoundToBf16(src_.data()[row * kInputs + input]))} * Weight(input, output);
        }
        ASSERT_NEAR(products.data()[row * kOutputs + output], sum, 1e-5) << row << ", " << output;
      }
    }
  }
}

TEST_F(Bf16ProductTest, ARowHasTheSameBitsAmongOthers) {
  const Bf16Product product = Make({126, 124});
  Bf16Product::Room room(product);
  AlignedBuffer together(kRows.back() * kOutputs);
  ASSERT_TRUE(product.Multiply(kRows.back(), src_.data(), together.data(), room).ok());
  for (int64_t row = 0; row < kRows.back(); ++row) {
    AlignedBuffer alone(kOutputs);
    ASSERT_TRUE(product.Multiply(1, src_.data() + row * kInputs, alone.data(), room).ok());
    EXPECT_TRUE(std::ranges::equal(alone.span(),
                                   together.span().subspan(static_cast<size_t>(row * kOutputs), kOutputs)))
        << row;
  }
}

// The sums of blocks, made apart, and added from the first to the last.
TEST_F(Bf16ProductTest, AddsUpBlockByBlock) {
  const std::vector<int64_t> blocks = {102, 98, 50};
  const Bf16Product product = Make(blocks);
  Bf16Product::Room room(product);
  AlignedBuffer whole(kOutputs);
  ASSERT_TRUE(product.Multiply(1, src_.data(), whole.data(), room).ok());
  AlignedBuffer sum(kOutputs);
  int64_t first = 0;
  for (const int64_t block : blocks) {
    AlignedBuffer only(kInputs);
    std::memcpy(only.data() + first, src_.data() + first, static_cast<size_t>(block) * sizeof(float));
    AlignedBuffer part(kOutputs);
    ASSERT_TRUE(product.Multiply(1, only.data(), part.data(), room).ok());
    for (int64_t i = 0; i < kOutputs; ++i) sum.data()[i] += part.data()[i];
    first += block;
  }
  EXPECT_TRUE(std::ranges::equal(whole.span(), sum.span()));
}

}  // namespace
}  // namespace gruserve

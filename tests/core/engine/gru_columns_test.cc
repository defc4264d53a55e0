#include "core/engine/gru_columns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/engine/bucket_set.h"
#include "core/engine/column_projections.h"
#include "core/engine/column_trial.h"
#include "core/engine/gru_gates.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"

namespace gruserve {
namespace {

GruLayerShape ShapeOf(int64_t input_size, int64_t hidden_size) {
  return {.input_size = input_size, .hidden_size = hidden_size};
}

class GruColumnsTest : public ::testing::TestWithParam<ComputeDtype> {
 protected:
  static constexpr int64_t kInput = 40;
  static constexpr int64_t kHidden = 224;
  static constexpr int64_t kBlock = kHidden / 2;
  static constexpr int64_t kBatch = 3;

  void SetUp() override {
    if (const absl::Status has = CheckProcessorHas(GetParam()); !has.ok()) GTEST_SKIP() << has;
    GruLayerShape shape = ShapeOf(kInput, kHidden);
    shape.dtype = GetParam();
    const SummationOrder order = {.layer_blocks = {kInput}, .iter_blocks = {100, kHidden - 100}};
    auto columns = GruColumns::Create(shape, weights_, order);
    if (!columns.ok()) GTEST_SKIP() << "not with this oneDNN: " << columns.status();
    columns_ = *std::move(columns);
    kept_ = LayOutWeights(shape, Draw()).value();
  }

  // The same every time.
  static GruLayerWeights Draw() {
    std::mt19937 random(5);
    return RandomWeights(random, kInput, kHidden, 0.1F);
  }

  double tolerance() const { return GetParam() == ComputeDtype::kF32 ? 1e-5 : 2e-2; }

  // One unit of the next state of row `n`, from the formula.
  double Unit(int64_t n, int64_t unit, const AlignedBuffer& x, const AlignedBuffer& h) const {
    const auto product = [unit](const AlignedBuffer& weights, const float* row, int64_t count, int64_t gate) {
      double sum = 0;
      for (int64_t k = 0; k < count; ++k) sum += row[k] * weights.data()[(k * 3 + gate) * kHidden + unit];
      return sum;
    };
    const float* const bias = weights_.bias.data();
    double of_x[3], of_h[3];
    for (int64_t gate = 0; gate < 3; ++gate) {
      of_x[gate] =
          product(weights_.weights_layer, x.data() + n * kInput, kInput, gate) + bias[gate * kHidden + unit];
      of_h[gate] = product(weights_.weights_iter, h.data() + n * kHidden, kHidden, gate);
    }
    const auto sigmoid = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
    const double update = sigmoid(of_x[0] + of_h[0]);
    const double reset = sigmoid(of_x[1] + of_h[1]);
    const double candidate = std::tanh(of_x[2] + reset * (of_h[2] + bias[3 * kHidden + unit]));
    return update * h.data()[n * kHidden + unit] + (1.0 - update) * candidate;
  }

  const SingleOmpThread single_thread_;
  std::mt19937 random_{7};
  const GruLayerWeights weights_ = Draw();  // Plain,
  GruLayerWeights kept_;                    // and laid out.
  std::unique_ptr<const GruColumns> columns_;
};

TEST_P(GruColumnsTest, EachBlockGivesItsOwnUnits) {
  const AlignedBuffer x = RandomBuffer(random_, kBatch * kInput, 1.0F);
  const AlignedBuffer h = RandomBuffer(random_, kBatch * kHidden, 1.0F);
  GruColumns::Workspace workspace = GruColumns::Workspace::Create(*columns_).value();
  for (int block = 0; block < GruColumns::kBlocks; ++block) {
    AlignedBuffer projection(kBatch * 3 * kBlock), dst(kBatch * kHidden);
    std::fill(dst.span().begin(), dst.span().end(), 99.0F);
    ASSERT_TRUE(columns_->Project(kept_, block, kBatch, x.data(), projection.data(), workspace).ok());
    ASSERT_TRUE(
        columns_->Step(kept_, block, kBatch, projection.data(), h.data(), dst.data(), workspace).ok());
    for (int64_t n = 0; n < kBatch; ++n) {
      for (int64_t unit = 0; unit < kHidden; ++unit) {
        const float got = dst.data()[n * kHidden + unit];
        if (unit / kBlock == block) {
          ASSERT_NEAR(got, Unit(n, unit, x, h), tolerance()) << "row " << n << " unit " << unit;
        } else {
          ASSERT_EQ(got, 99.0F) << "row " << n << " unit " << unit;
        }
      }
    }
  }
}

TEST_P(GruColumnsTest, ProjectionsAreThoseOfTheirSteps) {
  constexpr int64_t kSteps = 2 * GruColumns::kMaxProjectedSteps + 7;
  const AlignedBuffer x = RandomBuffer(random_, kSteps * kBatch * kInput, 1.0F);
  AlignedBuffer alone(kBatch * 3 * kBlock);
  GruColumns::Workspace workspace = GruColumns::Workspace::Create(*columns_).value();
  ColumnProjections projections(*columns_, kBatch + 1);
  projections.Begin(*columns_, kept_, kBatch);
  // Also where one block skips steps, as for a worker that comes late.
  for (int64_t t = 0; t < kSteps; ++t) {
    for (int block = 0; block < GruColumns::kBlocks; ++block) {
      if (block == 1 && t % 11 < 9) continue;
      const float* const got = projections.At(block, t, kSteps, x.data(), workspace).value();
      ASSERT_TRUE(
          columns_->Project(kept_, block, kBatch, x.data() + t * kBatch * kInput, alone.data(), workspace)
              .ok());
      for (int64_t i = 0; i < alone.size(); ++i) ASSERT_NEAR(got[i], alone.data()[i], 1e-5) << t << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, GruColumnsTest, ::testing::Values(ComputeDtype::kF32, ComputeDtype::kBf16),
                         [](const auto& dtype) { return std::string(Name(dtype.param)); });

TEST(GruColumnsFitTest, NeedsTwoBlocksAndAPlainCell) {
  EXPECT_TRUE(GruColumns::Fits(ShapeOf(3, 256)));
  EXPECT_TRUE(GruColumns::Fits(ShapeOf(2048, 1760)));
  EXPECT_FALSE(GruColumns::Fits(ShapeOf(256, 64))) << "too small to share";
  EXPECT_TRUE(GruColumns::Fits(ShapeOf(500, 500)));
  EXPECT_FALSE(GruColumns::Fits(ShapeOf(256, 273))) << "an odd size";
  GruLayerShape shape = ShapeOf(256, 256);
  shape.cell_kind = CellKind::kResetBefore;
  EXPECT_FALSE(GruColumns::Fits(shape));
}

TEST(ColumnTrialTest, WhatDoesNotFitHasNoOrder) {
  EXPECT_EQ(FindColumnOrder(ShapeOf(8, 24), {{Bucket{1, 1}}}).value(), nullptr);
}

TEST(ColumnTrialTest, IsRememberedWithTheBuckets) {
  const auto buckets = BucketSet::Choose(ShapeOf(24, 192)).value();
  EXPECT_EQ(buckets->column_order() != nullptr,
            FindColumnOrder(ShapeOf(24, 192), buckets->buckets()).value() != nullptr);
  EXPECT_EQ(buckets->Intersect(*buckets).value().column_order(), nullptr);
}

TEST(GruGatesTest, AddAndFuseInOneOrder) {
  std::mt19937 random(3);
  for (const int64_t count : {kGateLanes, 7 * kGateLanes, int64_t{5}, 3 * kGateLanes + 9}) {
    std::vector<AlignedBuffer> in;
    for (int i = 0; i < 5; ++i) in.push_back(RandomBuffer(random, count, 1.0F));
    const auto at = [&in](size_t array, int64_t i) { return in[array].data()[i]; };
    AlignedBuffer sum(count), candidate(count), after(count);
    SumGate(count, in[0].data(), in[1].data(), in[2].data(), sum.data());
    SumCandidate(count, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(),
                 candidate.data());
    BlendState(count, in[0].data(), in[1].data(), in[2].data(), after.data());
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(sum.data()[i], (at(0, i) + at(1, i)) + at(2, i));
      EXPECT_EQ(candidate.data()[i], std::fma(at(4, i), at(2, i) + at(3, i), at(0, i) + at(1, i)));
      EXPECT_EQ(after.data()[i], std::fma(1.0F - at(0, i), at(2, i), at(0, i) * at(1, i)));
    }
  }
}

}  // namespace
}  // namespace gruserve

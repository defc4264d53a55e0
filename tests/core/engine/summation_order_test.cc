#include "core/engine/summation_order.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "core/engine/bucket_set.h"
#include "core/engine/compute_dtype.h"

namespace gruserve {
namespace {

GruLayerShape Bf16Shape(int64_t input_size, int64_t hidden_size) {
  return {.input_size = input_size, .hidden_size = hidden_size, .dtype = ComputeDtype::kBf16};
}

int64_t Sum(const std::vector<int64_t>& blocks) {
  return std::accumulate(blocks.begin(), blocks.end(), int64_t{0});
}

TEST(SummationOrderTest, OfF32IsTheLoneRows) {
  const GruLayerShape shape = {.input_size = 8, .hidden_size = 16};
  const SummationOrder order = FindSummationOrder(shape, {{Bucket{1, 1, 384}, Bucket{1, 4}}}).value();
  EXPECT_EQ(order.lone_row_block, 384);
  EXPECT_TRUE(order.layer_blocks.empty());
  EXPECT_TRUE(order.iter_blocks.empty());
}

TEST(SummationOrderTest, BlocksMakeUpAllInputs) {
  if (const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16); !has.ok()) GTEST_SKIP() << has;
  // More inputs than twice the units take several probes; few inputs none.
  for (const GruLayerShape& shape : {Bf16Shape(1200, 192), Bf16Shape(3, 512), Bf16Shape(4, 194)}) {
    const SummationOrder order = FindSummationOrder(shape, {{Bucket{1, 2}}}).value();
    EXPECT_EQ(Sum(order.layer_blocks), shape.input_size);
    EXPECT_EQ(Sum(order.iter_blocks), shape.hidden_size);
    EXPECT_EQ(order.lone_row_block, 0);
  }
}

TEST(SummationOrderTest, IsThatOfAllBucketsThatGiveEqualBits) {
  if (const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16); !has.ok()) GTEST_SKIP() << has;
  for (const GruLayerShape& shape : {Bf16Shape(96, 256), Bf16Shape(386, 500), Bf16Shape(800, 192)}) {
    const auto buckets = BucketSet::Choose(shape).value();
    const SummationOrder order = FindSummationOrder(shape, buckets->buckets()).value();
    for (const Bucket& bucket : buckets->buckets()) {
      if (bucket.time_steps > 1) continue;
      const SummationOrder own = FindSummationOrder(shape, {&bucket, 1}).value();
      EXPECT_EQ(own.layer_blocks, order.layer_blocks) << "batch " << bucket.batch_size;
      EXPECT_EQ(own.iter_blocks, order.iter_blocks) << "batch " << bucket.batch_size;
    }
  }
}

}  // namespace
}  // namespace gruserve

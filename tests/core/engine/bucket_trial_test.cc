#include "core/engine/bucket_trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/engine/compute_dtype.h"
#include "core/engine/dnnl_compat.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

TEST(BucketTrialTest, Bf16MayDifferByItsRounding) {
  const std::vector<float> exact = {0.5F, -0.25F};
  EXPECT_TRUE(CheckBf16Step({}, exact, std::vector<float>{0.502F, -0.2505F}).ok());
}

TEST(BucketTrialTest, Bf16ThatIsWrongIsInternal) {
  const std::vector<float> exact = {0.5F, -0.25F};
  const GruLayerShape shape{.input_size = 3, .hidden_size = 2};
  const absl::Status wrong = CheckBf16Step(shape, exact, std::vector<float>{0.5F, 0.125F});
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(wrong.message()),
              HasSubstr("input_size 3, hidden_size 2 gave 0.125, expected -0.25"));
  EXPECT_FALSE(CheckBf16Step(shape, exact, std::vector<float>{NAN, -0.25F}).ok());
}

TEST(BucketTrialTest, Bf16OfOddSizesPasses) {
  if (!CheckProcessorHas(ComputeDtype::kBf16).ok()) return;  // Refused before: compute_dtype_test.cc.
  const auto buckets = FindEqualBuckets({.input_size = 3, .hidden_size = 65, .dtype = ComputeDtype::kBf16});
  ASSERT_TRUE(buckets.ok()) << buckets.status();
  EXPECT_THAT(*buckets, Not(SizeIs(0)));
}

// A shape that oneDNN 3.7.2 gets wrong, 2.6 does not.
TEST(BucketTrialTest, WhatOneDnnGetsWrongIsRefused) {
  if (!CheckProcessorHas(ComputeDtype::kBf16).ok()) return;  // Refused before: compute_dtype_test.cc.
  const absl::Status status = FindEqualBuckets({.cell_kind = CellKind::kResetBefore,
                                                .input_size = 3,
                                                .hidden_size = 1,
                                                .dtype = ComputeDtype::kBf16})
                                  .status();
  if (DNNL_VERSION_MAJOR < 3) {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    EXPECT_THAT(std::string(status.message()), HasSubstr("oneDNN computes bf16 wrongly here"));
  }
}

}  // namespace
}  // namespace gruserve

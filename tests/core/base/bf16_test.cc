#include "core/base/bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace gruserve {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Bf16Test, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(RoundToBf16(1.0F), 0x3F80);
  EXPECT_EQ(RoundToBf16(-2.0F), 0xC000);
  // 1 + 2^-8 lies between 1 (even) and 1 + 2^-7 (odd); 1 + 3 * 2^-8 between that and 1 + 2^-6.
  EXPECT_EQ(RoundToBf16(1.0F + 0x1p-8F), 0x3F80);
  EXPECT_EQ(RoundToBf16(1.0F + 0x1p-8F + 0x1p-23F), 0x3F81);
  EXPECT_EQ(RoundToBf16(1.0F + 0x3p-8F), 0x3F82);
  EXPECT_EQ(RoundToBf16(1.0F + 0x3p-8F - 0x1p-23F), 0x3F81);
  EXPECT_EQ(RoundToBf16(-0.0F), 0x8000);
}

TEST(Bf16Test, KeepsInfinityAndNan) {
  EXPECT_EQ(FromBf16(RoundToBf16(-kInfinity)), -kInfinity);
  EXPECT_EQ(FromBf16(RoundToBf16(std::numeric_limits<float>::max())), kInfinity);
  // A NaN whose upper half alone would be infinity.
  EXPECT_TRUE(std::isnan(FromBf16(RoundToBf16(std::bit_cast<float>(0x7F800001U)))));
  EXPECT_TRUE(std::isnan(FromBf16(RoundToBf16(std::bit_cast<float>(0xFFFFFFFFU)))));
}

TEST(Bf16Test, WhatBf16HoldsComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = FromBf16(half);
    if (!std::isnan(value)) {
      ASSERT_EQ(RoundToBf16(value), half);
    }
  }
}

TEST(Bf16Test, ManyAreRoundedAsOneIs) {
  std::mt19937 random(3);
  for (const int64_t count : {0, 1, 15, 16, 17, 64, 1000}) {
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i)
      values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
    if (count > 2) values[1] = std::numeric_limits<float>::quiet_NaN();
    if (count > 2) values[2] = std::bit_cast<float>(0x00000001U);
    std::vector<uint16_t> rounded(values.size());
    RoundToBf16(values.data(), count, rounded.data());
    std::vector<float> widened(values.size());
    FromBf16(rounded.data(), count, widened.data());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(rounded[i], RoundToBf16(values[i])) << values[i];
      EXPECT_EQ(std::bit_cast<uint32_t>(widened[i]), std::bit_cast<uint32_t>(FromBf16(rounded[i])));
    }
    RoundInBf16(values.data(), count, values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(widened[i]));
    }
  }
}

}  // namespace
}  // namespace gruserve

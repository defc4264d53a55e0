#include "core/base/checked_math.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace gruserve {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(CheckedMathTest, AnswersNothingWhereAResultDoesNotFit) {
  EXPECT_EQ(CheckedMultiply(kMax, 1), kMax);
  EXPECT_EQ(CheckedMultiply(kMax, 2), std::nullopt);
  EXPECT_EQ(CheckedAdd(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
}

TEST(CheckedMathTest, AProductOfDimensionsIsNeitherNegativeNorWrapped) {
  const auto product = [](const std::vector<int64_t>& dims) { return CheckedProduct(dims); };
  EXPECT_EQ(product({}), 1);
  EXPECT_EQ(product({4, 0, 3}), 0);
  EXPECT_EQ(product({2, 3, 4}), 24);
  EXPECT_EQ(product({2, -3}), std::nullopt);
  EXPECT_EQ(product({int64_t{1} << 32, int64_t{1} << 32}), std::nullopt);
}

}  // namespace
}  // namespace gruserve

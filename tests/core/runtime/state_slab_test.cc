#include "core/runtime/state_slab.h"

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/resident_bytes.h"

namespace gruserve {
namespace {

TEST(StateSlabTest, StrideIsTheRowRoundedUpToWholeCacheLines) {
  EXPECT_EQ(StateSlab(1).row_stride(), 16);
  EXPECT_EQ(StateSlab(16).row_stride(), 16);
  EXPECT_EQ(StateSlab(17).row_stride(), 32);
}

TEST(StateSlabTest, RowsAreAlignedZeroedAndDisjoint) {
  StateSlab slab(17);
  std::set<float*> rows;
  for (int i = 0; i < 10'000; ++i) {
    float* row = slab.Allocate();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(row) % 64, 0u);
    for (int64_t j = 0; j < 17; ++j) EXPECT_EQ(row[j], 0.0f);
    for (int64_t j = 0; j < slab.row_stride(); ++j) row[j] = 1.0f;
    EXPECT_TRUE(rows.insert(row).second);
  }
  float* previous = nullptr;
  for (float* row : rows) {
    if (previous != nullptr) {
      EXPECT_GE(row - previous, slab.row_stride());
    }
    previous = row;
  }
  for (float* row : rows) slab.Free(row);
}

TEST(StateSlabTest, ReusedRowsAreZeroAgain) {
  StateSlab slab(3);
  float* row = slab.Allocate();
  row[0] = row[1] = row[2] = 5.0f;
  slab.Free(row);
  float* again = slab.Allocate();
  EXPECT_EQ(again, row);
  for (int j = 0; j < 3; ++j) EXPECT_EQ(again[j], 0.0f);
  slab.Free(again);
}

TEST(StateSlabTest, RowsLargerThanAChunkWork) {
  StateSlab slab(1'000'000);
  float* a = slab.Allocate();
  float* b = slab.Allocate();
  a[999'999] = 1.0f;
  b[0] = 2.0f;
  EXPECT_EQ(a[999'999], 1.0f);
  slab.Free(a);
  slab.Free(b);
}

TEST(StateSlabTest, RandomUseKeepsEveryRowsContents) {
  std::mt19937 random(7);
  StateSlab slab(64);
  std::vector<std::pair<float*, float>> held;
  for (int i = 0; i < 50'000; ++i) {
    if (held.empty() || random() % 100 < (i % 20'000 < 10'000 ? 70 : 30)) {
      float* row = slab.Allocate();
      const auto mark = static_cast<float>(i);
      row[0] = row[63] = mark;
      held.emplace_back(row, mark);
    } else {
      std::swap(held[random() % held.size()], held.back());
      EXPECT_EQ(held.back().first[0], held.back().second);
      EXPECT_EQ(held.back().first[63], held.back().second);
      slab.Free(held.back().first);
      held.pop_back();
    }
  }
  for (auto [row, mark] : held) {
    EXPECT_EQ(row[0], mark);
    slab.Free(row);
  }
}

TEST(StateSlabTest, MemoryGoesBackAfterTenThousandRows) {
  StateSlab slab(4096);  // 160 MB in all.
  std::vector<float*> rows;
  rows.reserve(10'000);
  const int64_t before = ResidentBytes();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10'000; ++i) rows.push_back(slab.Allocate());
    EXPECT_GT(ResidentBytes() - before, 100'000'000);
    for (float* row : rows) slab.Free(row);
    rows.clear();
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(ResidentBytes() - before, 2 << 20);
#endif
}

}  // namespace
}  // namespace gruserve

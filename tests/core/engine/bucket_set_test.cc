#include "core/engine/bucket_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace gruserve {
namespace {

using ::testing::Each;

TEST(BucketSetTest, PicksWhatHoldsTheRowsAndDoesNotPassTheSteps) {
  for (const int64_t hidden : {1, 64, 512}) {
    const auto set = BucketSet::Choose({.input_size = 3, .hidden_size = hidden}).value();
    for (const int64_t steps : {1, 2, 3, 7, 8, 100, 128, 1000}) {
      for (int64_t rows = 1; rows <= set->max_batch_size(); ++rows) {
        const Bucket bucket = set->buckets()[set->Pick(steps, rows)];
        EXPECT_GE(bucket.batch_size, rows);
        EXPECT_LE(bucket.time_steps, steps);
      }
    }
  }
}

TEST(BucketSetTest, LongStretchesRunInLongSlices) {
  const auto set = BucketSet::Choose({.input_size = 16, .hidden_size = 16}).value();
  EXPECT_EQ(set->buckets()[set->Pick(1000, 1)].time_steps, 128);
  EXPECT_EQ(set->buckets()[set->Pick(100, 64)], (Bucket{64, 64}));
}

TEST(BucketSetTest, SlicesOfLargeLayersAreShort) {
  const auto set = BucketSet::Choose({.input_size = 257, .hidden_size = 512}).value();
  for (const Bucket& bucket : set->buckets()) {
    if (bucket.time_steps == 1) continue;
    EXPECT_LE(6 * bucket.time_steps * bucket.batch_size * (257 + 512) * 512, 1'000'000'000);
  }
}

// True of every processor and oneDNN tried: without it batching would stop.
TEST(BucketSetTest, LargestBatchIsKept) {
  for (const CellKind kind : {CellKind::kLinearBeforeReset, CellKind::kResetBefore}) {
    for (const int64_t hidden : {9, 64, 300}) {
      const auto set = BucketSet::Choose({.cell_kind = kind, .input_size = 7, .hidden_size = hidden}).value();
      EXPECT_EQ(set->max_batch_size(), BucketSet::kMaxBatchSize);
    }
  }
}

TEST(BucketSetTest, OneAnswerAShapeForAllThreads) {
  const GruLayerShape shape{.input_size = 21, .hidden_size = 22};
  std::vector<std::shared_ptr<const BucketSet>> sets(4);
  std::vector<std::thread> threads;
  threads.reserve(sets.size());
  for (auto& set : sets) threads.emplace_back([&set, &shape] { set = BucketSet::Choose(shape).value(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(sets, Each(sets.front()));
  EXPECT_NE(BucketSet::Choose({.input_size = 22, .hidden_size = 21}).value(), sets.front());
}

TEST(BucketSetTest, ShapeThatOneDnnRefusesIsInternal) {
  const absl::Status status = BucketSet::Choose({.input_size = 4, .hidden_size = -1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
}

TEST(BucketSetTest, IntersectionKeepsWhatBothHave) {
  const BucketSet first({{1, 1}, {1, 2}, {1, 4}, {2, 2}, {4, 2}});
  const BucketSet second({{1, 2}, {1, 4}, {1, 8}, {4, 2}});
  const BucketSet both = first.Intersect(second).value();
  EXPECT_THAT(both.buckets(), ::testing::ElementsAre(Bucket{1, 2}, Bucket{1, 4}, Bucket{4, 2}));
  EXPECT_EQ(both.max_batch_size(), 4);
  EXPECT_EQ(both.buckets()[both.Pick(3, 1)], (Bucket{1, 2}));
  EXPECT_EQ(both.buckets()[both.Pick(5, 2)], (Bucket{4, 2}));
}

TEST(BucketSetTest, IntersectionWithoutAStepIsInternal) {
  const BucketSet first({{1, 1}, {2, 1}, {2, 2}});
  const BucketSet second({{1, 2}, {2, 2}});
  EXPECT_EQ(first.Intersect(second).status().code(), absl::StatusCode::kInternal);
}

TEST(BucketSetTest, FingerprintNamesTheBuckets) {
  EXPECT_EQ(BucketSet({{1, 2}}).Fingerprint(), BucketSet({{1, 2}}).Fingerprint());
  EXPECT_NE(BucketSet({{1, 2}}).Fingerprint(), BucketSet({{1, 2}, {1, 1}}).Fingerprint());
  EXPECT_EQ(BucketSet({{1, 2}}).Fingerprint().size(), 16U);
}

}  // namespace
}  // namespace gruserve

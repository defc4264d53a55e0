#include "core/session/evicted_ids.h"

#include <string>

#include "gtest/gtest.h"

namespace gruserve {
namespace {

const absl::Time kStart = absl::UnixEpoch();

TEST(EvictedIdsTest, RemembersTheCauseForAWhile) {
  EvictedIds ids(absl::Minutes(10), 100);
  ids.Add("a", EvictionCause::kGrace, kStart);
  ASSERT_NE(ids.Find("a", kStart + absl::Minutes(9)), nullptr);
  EXPECT_EQ(*ids.Find("a", kStart + absl::Minutes(9)), EvictionCause::kGrace);
  EXPECT_EQ(ids.Find("b", kStart), nullptr);
  EXPECT_EQ(ids.Find("a", kStart + absl::Minutes(10)), nullptr);
  EXPECT_EQ(ids.size(), 0u);
}

TEST(EvictedIdsTest, ForgetsTheOldestBeyondTheMost) {
  EvictedIds ids(absl::Minutes(10), 3);
  for (int i = 0; i < 10; ++i) ids.Add(std::to_string(i), EvictionCause::kIdle, kStart);
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids.Find("6", kStart), nullptr);
  EXPECT_NE(ids.Find("7", kStart), nullptr);
}

TEST(EvictedIdsTest, TheLatestEvictionOfAnIdCounts) {
  EvictedIds ids(absl::Minutes(10), 100);
  ids.Add("a", EvictionCause::kIdle, kStart);
  ids.Remove("a");
  EXPECT_EQ(ids.Find("a", kStart), nullptr);
  ids.Add("a", EvictionCause::kGrace, kStart + absl::Minutes(5));
  ASSERT_NE(ids.Find("a", kStart + absl::Minutes(12)), nullptr);
  EXPECT_EQ(*ids.Find("a", kStart + absl::Minutes(12)), EvictionCause::kGrace);
}

TEST(EvictedIdsTest, OneIdEvictedAgainAndAgainStaysBounded) {
  EvictedIds ids(absl::Minutes(10), 3);
  for (int i = 0; i < 100; ++i) ids.Add("a", EvictionCause::kIdle, kStart);
  EXPECT_EQ(ids.size(), 1u);
}

}  // namespace
}  // namespace gruserve

#include "server/stream_handles.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>

namespace gruserve::server {
namespace {

TEST(StreamHandlesTest, TakesAHandleOnce) {
  StreamHandles handles;
  const uint64_t serial = handles.Take(7);
  ASSERT_NE(serial, 0U);
  EXPECT_NE(handles.Find(serial), nullptr);
  EXPECT_EQ(StreamHandles::HandleOf(serial), 7U);
  EXPECT_EQ(handles.SerialOf(7), serial);
  EXPECT_EQ(handles.Take(7), 0U);
  EXPECT_EQ(handles.SerialOf(8), 0U);
  EXPECT_EQ(handles.Find(0), nullptr);
}

TEST(StreamHandlesTest, PicksFreeHandlesForZero) {
  StreamHandles handles;
  std::set<uint32_t> taken;
  for (const uint32_t chosen : {1U, 2U, 4U}) taken.insert(StreamHandles::HandleOf(handles.Take(chosen)));
  for (int i = 0; i < 10; ++i) {
    const uint32_t picked = StreamHandles::HandleOf(handles.Take(0));
    EXPECT_NE(picked, 0U);
    EXPECT_TRUE(taken.insert(picked).second) << picked << " was in use";
  }
}

TEST(StreamHandlesTest, AHandleUsedAgainHasAnotherSerial) {
  StreamHandles handles;
  const uint64_t first = handles.Take(7);
  handles.Release(first);
  EXPECT_EQ(handles.SerialOf(7), 0U);
  const uint64_t second = handles.Take(7);
  EXPECT_NE(first, second);
  EXPECT_EQ(handles.Find(first), nullptr);
  EXPECT_NE(handles.Find(second), nullptr);
  handles.Release(first);
  EXPECT_EQ(handles.SerialOf(7), second) << "a late release of the old hold took the new one";
}

TEST(StreamHandlesTest, KeepsWhyASessionLeftEarlyOnce) {
  StreamHandles handles;
  const uint64_t serial = handles.Take(7);
  EXPECT_FALSE(handles.TakeLeft(serial).has_value());
  handles.LeaveEarly(serial, {absl::NotFoundError("gone"), SessionErrorReason::kEvictedIdle, 3});
  const std::optional<SessionLeft> left = handles.TakeLeft(serial);
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->status, absl::NotFoundError("gone"));
  EXPECT_EQ(left->epoch, 3U);
  EXPECT_FALSE(handles.TakeLeft(serial).has_value());
}

}  // namespace
}  // namespace gruserve::server

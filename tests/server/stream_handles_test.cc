#include "server/stream_handles.h"

#include <gtest/gtest.h>

#include <set>

namespace gruserve::server {
namespace {

TEST(StreamHandlesTest, TakesAHandleOnce) {
  StreamHandles handles;
  const StreamHold* hold = handles.Take(7);
  ASSERT_NE(hold, nullptr);
  EXPECT_EQ(hold->handle, 7U);
  EXPECT_EQ(handles.Take(7), nullptr);
  EXPECT_EQ(handles.FindHandle(8), nullptr);
}

TEST(StreamHandlesTest, PicksFreeHandlesForZero) {
  StreamHandles handles;
  std::set<uint32_t> taken;
  for (const uint32_t chosen : {1U, 2U, 4U}) taken.insert(handles.Take(chosen)->handle);
  for (int i = 0; i < 10; ++i) {
    const uint32_t picked = handles.Take(0)->handle;
    EXPECT_NE(picked, 0U);
    EXPECT_TRUE(taken.insert(picked).second) << picked << " was in use";
  }
}

TEST(StreamHandlesTest, AHandleUsedAgainHasAnotherSerial) {
  StreamHandles handles;
  const uint32_t first = handles.Take(7)->serial;
  handles.Release(first);
  EXPECT_EQ(handles.FindHandle(7), nullptr);
  const uint32_t second = handles.Take(7)->serial;
  EXPECT_NE(first, second);
  EXPECT_EQ(handles.FindSerial(first), nullptr);
  EXPECT_EQ(handles.FindSerial(second)->handle, 7U);
  handles.Release(first);
  EXPECT_NE(handles.FindHandle(7), nullptr) << "a late release of the old hold took the new one";
}

}  // namespace
}  // namespace gruserve::server

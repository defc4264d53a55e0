#include "server/poller_call.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"

namespace gruserve::server {
namespace {

TEST(PollerCallTest, RunsItsFunctionOnceForEachStart) {
  std::atomic<int> runs = 0;
  std::unique_ptr<absl::Notification> ran;
  PollerCall call([&] {
    ++runs;
    ran->Notify();
  });
  for (int i = 1; i <= 100; ++i) {
    ran = std::make_unique<absl::Notification>();
    call.Start();
    ran->WaitForNotification();
    EXPECT_EQ(runs, i);
  }
}

TEST(PollerCallTest, TheFunctionMayStartItAgain) {
  int left = 100;
  absl::Notification ended;
  std::unique_ptr<PollerCall> call;
  call = std::make_unique<PollerCall>([&] {
    if (--left > 0) {
      call->Start();
    } else {
      ended.Notify();
    }
  });
  call->Start();
  ended.WaitForNotification();
  EXPECT_EQ(left, 0);
}

TEST(PollerCallTest, TheDestructorWaitsForTheFunction) {
  for (int i = 0; i < 20; ++i) {
    bool ran = false;
    {
      PollerCall call([&ran] { ran = true; });
      call.Start();
    }
    EXPECT_TRUE(ran);
  }
}

}  // namespace
}  // namespace gruserve::server

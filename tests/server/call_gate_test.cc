#include "server/call_gate.h"

#include <gtest/gtest.h>

#include <utility>

namespace gruserve::server {
namespace {

TEST(CallGateTest, BeyondTheLimitIsResourceExhausted) {
  CallGate gate(2);
  auto first = gate.Enter();
  auto second = gate.Enter();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(gate.Enter().status().code(), absl::StatusCode::kResourceExhausted);
  { const CallGate::Slot leaving = *std::move(first); }
  EXPECT_TRUE(gate.Enter().ok());
}

TEST(CallGateTest, ZeroIsNoLimit) {
  CallGate gate(0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(gate.Enter().ok());
}

TEST(CallGateTest, ClosedIsUnavailable) {
  CallGate gate(0);
  EXPECT_TRUE(gate.CheckOpen().ok());
  gate.Close();
  EXPECT_EQ(gate.Enter().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(gate.CheckOpen().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace gruserve::server

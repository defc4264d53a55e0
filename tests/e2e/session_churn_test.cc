// Sessions leave nothing behind: after 10,000 openings and closings the byte
// counter is zero and the process is as large as before.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/resident_bytes.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

constexpr uint32_t kSessionsPerRound = 1000;
#ifdef __SANITIZE_ADDRESS__
// ASan keeps what is freed, for a while.
constexpr int64_t kAllowedGrowth = int64_t{1} << 30;
#else
constexpr int64_t kAllowedGrowth = 2 << 20;
#endif

constexpr int kWarmUpRounds = 20;

std::string Metrics(const std::string& address) {
  httplib::Client http("http://" + address);
  const auto response = http.Get("/metrics");
  return response ? response->body : "";
}

// Opens, steps and closes `kSessionsPerRound` sessions that are all live at once.
void Round(RawStream& stream) {
  v1::StreamStepsRequest request;
  for (uint32_t handle = 1; handle <= kSessionsPerRound; ++handle) {
    *request.add_commands() = OpenCommand(handle, "demo");
    *request.add_commands() = StepCommand(handle, RawTensor({3}, std::vector<float>{0.1F, 0.2F, 0.3F}));
  }
  ASSERT_TRUE(stream.Send(request));
  for (uint32_t i = 0; i < 2 * kSessionsPerRound; ++i) {
    const auto event = stream.Next();
    ASSERT_TRUE(event && !event->has_error()) << event->ShortDebugString();
  }
  request.Clear();
  for (uint32_t handle = 1; handle <= kSessionsPerRound; ++handle)
    *request.add_commands() = CloseCommand(handle);
  ASSERT_TRUE(stream.Send(request));
  for (uint32_t i = 0; i < kSessionsPerRound; ++i) {
    const auto event = stream.Next();
    ASSERT_TRUE(event && event->has_closed()) << event->ShortDebugString();
  }
}

TEST(SessionChurnTest, TenThousandSessionsLeaveNothingBehind) {
  TestRepository repository;
  repository.Add("demo", {.input_size = 3, .hidden_size = 64, .num_layers = 2}, 1);
  const InProcessServer server(repository.root());
  RawStream stream(server.channel());
  // Fills the pools that every process keeps, on every thread that may come to serve.
  for (int round = 0; round < kWarmUpRounds; ++round) Round(stream);
  server.server().ExpireSessions();
  const int64_t before = ResidentBytes();
  for (int round = 0; round < 10; ++round) Round(stream);
  server.server().ExpireSessions();
  const int64_t grown = ResidentBytes() - before;
  std::printf("resident memory grew by %lld KiB over 10000 sessions\n", static_cast<long long>(grown / 1024));
  const std::string metrics = Metrics(server.server().http_address());
  EXPECT_THAT(metrics, testing::HasSubstr("\ngruserve_session_memory_bytes 0\n"));
  EXPECT_THAT(metrics, testing::HasSubstr("\ngruserve_sessions_live 0\n"));
  EXPECT_LE(grown, kAllowedGrowth);
}

}  // namespace
}  // namespace gruserve

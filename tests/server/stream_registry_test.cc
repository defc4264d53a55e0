#include "server/stream_registry.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/time/time.h"

namespace gruserve::server {
namespace {

class RecordedStream : public DrainableStream {
 public:
  void Drain() override { ++drains; }
  void EndDrained() override { ++ends; }
  int drains = 0;
  int ends = 0;
};

TEST(StreamRegistryTest, WaitsForWhatIsNotQuietAndNoLonger) {
  StreamRegistry registry;
  const auto quiet = std::make_shared<RecordedStream>();
  const auto busy = std::make_shared<RecordedStream>();
  registry.Add(quiet);
  registry.Add(busy);
  registry.OnQuiet(quiet.get());
  EXPECT_FALSE(registry.Drain(absl::ZeroDuration()));
  EXPECT_EQ(quiet->drains + busy->drains, 2);
  registry.OnQuiet(busy.get());
  registry.OnQuiet(busy.get());
  EXPECT_TRUE(registry.Drain(absl::InfiniteDuration()));
  EXPECT_EQ(quiet->ends + busy->ends, 0);
  registry.EndDrained();
  EXPECT_EQ(quiet->ends + busy->ends, 2);
}

TEST(StreamRegistryTest, AStreamThatWentIsNotWaitedFor) {
  StreamRegistry registry;
  const auto stream = std::make_shared<RecordedStream>();
  registry.Add(stream);
  registry.Remove(stream.get());
  EXPECT_TRUE(registry.Drain(absl::InfiniteDuration()));
  EXPECT_EQ(registry.size(), 0);
}

TEST(StreamRegistryTest, AStreamThatComesLateIsDrainedAndEndedAtOnce) {
  StreamRegistry registry;
  EXPECT_TRUE(registry.Drain(absl::InfiniteDuration()));
  const auto early = std::make_shared<RecordedStream>();
  registry.Add(early);
  EXPECT_EQ(early->drains, 1);
  EXPECT_EQ(early->ends, 0);
  registry.EndDrained();
  const auto late = std::make_shared<RecordedStream>();
  registry.Add(late);
  EXPECT_EQ(late->drains, 1);
  EXPECT_EQ(early->ends + late->ends, 2);
}

}  // namespace
}  // namespace gruserve::server

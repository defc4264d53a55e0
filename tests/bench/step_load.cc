#include "tests/bench/step_load.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "gruserve/v1/inference_service.grpc.pb.h"
#include "tests/bench/closed_stream.h"
#include "tests/bench/countdown.h"
#include "tests/bench/latencies.h"
#include "tests/bench/open_stream.h"
#include "tests/bench/run_window.h"
#include "tests/bench/step_messages.h"
#include "tests/bench/window_watch.h"

namespace gruserve::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(120);

// The streams of a run, over its connections in turn.
template <typename Stream>
class StreamSet {
 public:
  explicit StreamSet(const LoadOptions& options) : opened_(options.streams), ended_(options.streams) {
    for (const auto& channel : OpenChannels(options.server, options.connections)) {
      stubs_.push_back(v1::InferenceService::NewStub(channel));
    }
    for (int i = 0; i < options.streams; ++i) {
      streams_.push_back(std::make_unique<Stream>(options, &window_, &opened_, &ended_));
      streams_.back()->Start(stubs_[static_cast<size_t>(i) % stubs_.size()].get());
    }
    if (!opened_.Wait(kPatience)) window_.Fail("the sessions did not open in time");
  }

  // Waits for the last answers.
  void Finish() {
    if (ended_.Wait(kPatience)) return;
    window_.Fail("the streams did not end in time");
    for (auto& stream : streams_) stream->Cancel();
    ended_.Wait(absl::InfiniteDuration());
  }

  RunWindow& window() { return window_; }
  std::vector<std::unique_ptr<Stream>>& streams() { return streams_; }

 private:
  RunWindow window_;
  Countdown opened_;
  Countdown ended_;
  std::vector<std::unique_ptr<v1::InferenceService::Stub>> stubs_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

nlohmann::json RunClosed(const LoadOptions& options) {
  StreamSet<ClosedStream> set(options);
  WindowWatch watch(options);
  watch.Begin(&set.window());
  for (auto& stream : set.streams()) stream->Begin();
  nlohmann::json result = watch.Watch(nullptr);
  set.Finish();
  Latencies latencies;
  int64_t steps = 0;
  for (auto& stream : set.streams()) {
    latencies.Merge(stream->latencies());
    steps += stream->steps();
  }
  result["operations"] = steps;
  result["latency"] = latencies.Summary();
  if (!set.window().fault().empty()) result["fault"] = set.window().fault();
  return result;
}

nlohmann::json RunOpen(const LoadOptions& options) {
  StreamSet<OpenStream> set(options);
  auto& streams = set.streams();
  WindowWatch watch(options);
  watch.Begin(&set.window());
  nlohmann::json result = watch.Watch([&] {
    Pace(options.rate, set.window(), [&streams](int64_t number, int64_t due) {
      streams[static_cast<size_t>(number) % streams.size()]->Offer(due);
    });
  });
  for (auto& stream : streams) stream->End();
  set.Finish();
  OpenStream::Results all;
  for (auto& stream : streams) {
    all.done.Merge(stream->results().done);
    all.refused.Merge(stream->results().refused);
    all.barred += stream->results().barred;
    all.shed += stream->results().shed;
  }
  result["operations"] = all.done.count();
  result["latency"] = all.done.Summary();
  result["refused"] = all.refused.Summary();
  result["barred"] = all.barred;
  result["shed"] = all.shed;
  if (!set.window().fault().empty()) result["fault"] = set.window().fault();
  return result;
}

}  // namespace

nlohmann::json RunStepLoad(const LoadOptions& options) {
  return options.rate > 0 ? RunOpen(options) : RunClosed(options);
}

}  // namespace gruserve::bench

// Sixty-four streams step while the model under them is replaced twenty times: no step
// fails, and each session's outputs have the bits of exactly one version, or where sessions
// are carried over, each step those of one, from the state that the step before left.

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gruserve/v1/model_service.grpc.pb.h"
#include "tests/support/in_process_server.h"
#include "tests/support/model_builder.h"
#include "tests/support/raw_stream.h"
#include "tests/support/reference_gru.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

constexpr int kStreams = 64;
constexpr int kThreads = 4;
constexpr int kSwaps = 20;
constexpr int64_t kInputSize = 6;
// Of a session that gives way to the next one; every other one lives through all swaps.
constexpr int64_t kShortLife = 24;
constexpr int64_t kMostSteps = 1 << 14;
const GruConfig kConfig = {.input_size = kInputSize, .hidden_size = 24, .num_layers = 2};

struct Life {
  int64_t version = 0;
  int64_t steps = 0;
  std::vector<float> outputs;
};

// What one stream does: one session after the other, of the same inputs.
class Stepper {
 public:
  Stepper(const std::shared_ptr<grpc::Channel>& channel, bool lasting, std::span<const float> inputs)
      : stream_(channel), lasting_(lasting), inputs_(inputs) {}

  void Step() {
    if (lives_.empty() || (!lasting_ && lives_.back().steps == kShortLife)) Open();
    Life& life = lives_.back();
    if (life.steps == kMostSteps) return;
    const size_t at = static_cast<size_t>(life.steps++ * kInputSize);
    const v1::SessionEvent event =
        stream_.Call(StepCommand(handle_, RawTensor({kInputSize}, inputs_.subspan(at, kInputSize))));
    ASSERT_TRUE(event.has_output()) << event.ShortDebugString();
    const std::vector<float> output = Elements(event.output().output());
    life.outputs.insert(life.outputs.end(), output.begin(), output.end());
  }

  const std::vector<Life>& lives() const { return lives_; }

 private:
  void Open() {
    if (!lives_.empty()) {
      ASSERT_TRUE(stream_.Call(CloseCommand(handle_)).has_closed());
    }
    const v1::SessionEvent event = stream_.Call(OpenCommand(++handle_, "demo"));
    ASSERT_TRUE(event.has_opened()) << event.ShortDebugString();
    lives_.push_back({.version = event.opened().model().version()});
  }

  RawStream stream_;
  const bool lasting_;
  const std::span<const float> inputs_;
  uint32_t handle_ = 0;
  std::vector<Life> lives_;
};

void LoadModel(const std::shared_ptr<grpc::Channel>& channel, int64_t wanted) {
  grpc::ClientContext context;
  v1::LoadModelRequest request;
  request.mutable_model()->set_name("demo");
  v1::LoadModelResponse response;
  const auto status = v1::ModelService::NewStub(channel)->LoadModel(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.models_size(), 1);
  EXPECT_EQ(response.models(0).version(), wanted);
}

// Steps that go on while versions are loaded.
class HotReloadTest : public testing::Test {
 protected:
  const TestModel& Add(int64_t version, const GruConfig& config) {
    return *(versions_[version] = &repository_.Add("demo", config, static_cast<uint32_t>(version), version));
  }
  void Start(const std::string& rules) {
    WriteFile(repository_.root() / "demo" / "versions.json", rules);
    server_ = std::make_unique<InProcessServer>(
        repository_.root(), server::ServerOptions{.repository_mode = "explicit", .load_model = "demo"});
  }
  // All of `steppers` step while `swap` is called for versions 2 and on.
  void StepAndSwap(const std::vector<std::unique_ptr<Stepper>>& steppers, const GruConfig& config) {
    std::atomic<bool> over = false;
    std::atomic<int> rounds = 0;
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        while (!over && !testing::Test::HasFatalFailure()) {
          for (size_t i = thread; i < steppers.size(); i += kThreads) steppers[i]->Step();
          ++rounds;
        }
      });
    }
    for (int swap = 1; swap <= kSwaps; ++swap) {
      Add(swap + 1, config);
      // Each version serves some sessions.
      for (const int before = rounds; rounds < before + 2 * kThreads;) std::this_thread::yield();
      LoadModel(server_->channel(), swap + 1);
    }
    over = true;
    for (std::thread& thread : threads) thread.join();
  }

  TestRepository repository_;
  std::map<int64_t, const TestModel*> versions_;
  std::unique_ptr<InProcessServer> server_;
};

TEST_F(HotReloadTest, NoStepFailsAndEachSessionHasTheBitsOfOneVersion) {
  Add(1, kConfig);
  Start(R"({"version_policy": {"latest": 1}})");
  std::mt19937 random(7);
  const std::vector<float> inputs = RandomFloats(random, kMostSteps * kInputSize);
  std::vector<std::unique_ptr<Stepper>> steppers;
  for (int i = 0; i < kStreams; ++i)
    steppers.push_back(std::make_unique<Stepper>(server_->NewChannel(), i % 2 == 0, inputs));
  StepAndSwap(steppers, kConfig);

  // From one input on, versions differ in each step.
  int64_t sessions = 0;
  std::map<int64_t, int64_t> sessions_of;
  for (const auto& stepper : steppers) {
    for (const Life& life : stepper->lives()) {
      ++sessions;
      ++sessions_of[life.version];
      ASSERT_EQ(versions_.count(life.version), 1U);
      const std::span<const float> seen(inputs.data(), static_cast<size_t>(life.steps * kInputSize));
      ASSERT_EQ(life.outputs, versions_.at(life.version)->Alone(seen)) << "version " << life.version;
      const int64_t other = life.version == 1 ? 2 : life.version - 1;
      ASSERT_NE(life.outputs, versions_.at(other)->Alone(seen));
    }
  }
  EXPECT_GE(sessions_of.size(), 2U);
  std::printf("%ld sessions of %zu versions\n", static_cast<long>(sessions), sessions_of.size());
}

TEST_F(HotReloadTest, CarriedSessionsGoThroughTheVersionsWithTheirState) {
  // Of one layer, whose output is its state.
  constexpr GruConfig kOneLayer = {.input_size = kInputSize, .hidden_size = 24};
  constexpr int64_t kHidden = kOneLayer.hidden_size;
  Add(1, kOneLayer);
  Start(R"({"version_policy": {"latest": 1}, "carry_sessions": true})");
  std::mt19937 random(8);
  const std::vector<float> inputs = RandomFloats(random, kMostSteps * kInputSize);
  std::vector<std::unique_ptr<Stepper>> steppers;
  for (int i = 0; i < kStreams / 4; ++i)
    steppers.push_back(std::make_unique<Stepper>(server_->NewChannel(), true, inputs));
  StepAndSwap(steppers, kOneLayer);

  for (const auto& stepper : steppers) {
    ASSERT_EQ(stepper->lives().size(), 1U);
    const Life& life = stepper->lives()[0];
    std::vector<float> state(kHidden);
    int64_t version = 1;
    for (int64_t step = 0; step < life.steps; ++step) {
      const std::span input(inputs.data() + step * kInputSize, kInputSize);
      std::vector<float> output(life.outputs.begin() + step * kHidden,
                                life.outputs.begin() + (step + 1) * kHidden);
      while (version <= kSwaps && versions_.at(version)->Alone(input, state) != output) ++version;
      ASSERT_EQ(versions_.at(version)->Alone(input, state), output) << "step " << step;
      state = std::move(output);
    }
    EXPECT_GT(version, kSwaps / 2) << "the session stayed behind";
  }
}

}  // namespace
}  // namespace gruserve

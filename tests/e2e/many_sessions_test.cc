// A thousand sessions of three models, interleaved at random over one stream and
// over a hundred: every output has the bits of that session alone, and lies
// within the bound of the double-precision reference.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/in_process_server.h"
#include "tests/support/raw_stream.h"
#include "tests/support/reference_gru.h"
#include "tests/support/test_repository.h"

namespace gruserve {
namespace {

constexpr int kSessions = 1000;
// Above torch's own float32 error on these shapes; see tests/golden.
constexpr double kReferenceBound = 1e-6;

// One session's script, made from its own seed.
struct Script {
  Script(uint32_t seed, const TestModel& test_model) : model(&test_model) {
    std::mt19937 random(seed);
    const GruConfig& config = model->config();
    time_steps = std::uniform_int_distribution<int64_t>(1, 40)(random);
    inputs = RandomFloats(random, time_steps * config.input_size);
    if (random() % 2 == 0) h_0 = RandomFloats(random, config.state_size());
    while (sent < time_steps) {
      const int64_t chunk = random() % 3 == 0 ? std::uniform_int_distribution<int64_t>(2, 9)(random) : 1;
      chunks.push_back(std::min(chunk, time_steps - sent));
      sent += chunks.back();
    }
    sent = 0;
  }

  bool all_sent() const { return next_chunk == chunks.size(); }

  // The next step or chunk, as a command for `handle`.
  v1::SessionCommand NextCommand(uint32_t handle) {
    const int64_t features = model->config().input_size;
    const int64_t steps = chunks[next_chunk++];
    const std::span<const float> rows(inputs.data() + sent * features, static_cast<size_t>(steps * features));
    sent += steps;
    return StepCommand(handle, steps == 1 ? RawTensor({features}, rows) : RawTensor({steps, features}, rows));
  }

  v1::SessionCommand Open(uint32_t handle) const {
    v1::SessionCommand command = OpenCommand(handle, model->name());
    const GruConfig& config = model->config();
    if (!h_0.empty()) {
      const bool cell = config.module_kind == ModuleKind::kGruCell;
      *command.mutable_open()->mutable_h_0() = cell ? RawTensor({config.hidden_size}, h_0)
                                                    : RawTensor({config.num_layers, config.hidden_size}, h_0);
    }
    return command;
  }

  const TestModel* model;
  int64_t time_steps = 0;
  std::vector<float> inputs;
  std::vector<float> h_0;
  std::vector<int64_t> chunks;
  size_t next_chunk = 0;
  int64_t sent = 0;
  std::vector<float> outputs;
};

// Sends the scripts' commands in a random order, reads all events, and closes.
void Converse(const std::shared_ptr<grpc::Channel>& channel, std::span<Script*> scripts, uint32_t seed) {
  RawStream stream(channel);
  std::thread reader([&] {
    while (const auto event = stream.Next()) {
      ASSERT_FALSE(event->has_error()) << event->error().message();
      if (!event->has_output()) continue;
      const std::vector<float> output = Elements(event->output().output());
      std::vector<float>& outputs = scripts[event->session() - 1]->outputs;
      outputs.insert(outputs.end(), output.begin(), output.end());
    }
  });
  std::mt19937 random(seed);
  v1::StreamStepsRequest request;
  std::vector<uint32_t> open;
  for (uint32_t handle = 1; handle <= scripts.size(); ++handle) {
    *request.add_commands() = scripts[handle - 1]->Open(handle);
    open.push_back(handle);
  }
  while (!open.empty()) {
    const size_t pick = random() % open.size();
    Script& script = *scripts[open[pick] - 1];
    *request.add_commands() = script.NextCommand(open[pick]);
    if (script.all_sent()) {
      *request.add_commands() = CloseCommand(open[pick]);
      open[pick] = open.back();
      open.pop_back();
    }
    if (random() % 8 == 0 || open.empty()) {
      EXPECT_TRUE(stream.Send(request));
      request.Clear();
    }
  }
  stream.HalfClose();
  reader.join();
  EXPECT_TRUE(stream.Finish().ok());
}

double ReferenceError(const Script& script) {
  const GruConfig& config = script.model->config();
  const ReferenceResult reference =
      ReferenceGru(script.model->gru(), script.time_steps, 1, script.inputs, script.h_0);
  double worst = 0;
  for (size_t i = 0; i < static_cast<size_t>(script.time_steps * config.hidden_size); ++i) {
    worst = std::max(worst, std::abs(reference.output[i] - static_cast<double>(script.outputs[i])));
  }
  return worst;
}

class ManySessionsTest : public testing::TestWithParam<int> {};

TEST_P(ManySessionsTest, EveryOutputHasTheBitsOfItsSessionAlone) {
  const uint32_t seed = std::random_device()();
  std::printf("seed %u\n", seed);
  TestRepository repository;
  const std::vector<const TestModel*> models = {
      &repository.Add("cell", {.module_kind = ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10}, 1),
      &repository.Add("stacked", {.input_size = 17, .hidden_size = 64, .num_layers = 2}, 2),
      &repository.Add("unbiased", {.input_size = 3, .hidden_size = 33, .bias = false}, 3)};
  const InProcessServer server(repository.root());

  std::mt19937 random(seed);
  std::vector<Script> scripts;
  for (int i = 0; i < kSessions; ++i)
    scripts.emplace_back(static_cast<uint32_t>(random()), *models[random() % models.size()]);
  std::vector<Script*> shuffled;
  for (Script& script : scripts) shuffled.push_back(&script);
  std::shuffle(shuffled.begin(), shuffled.end(), random);

  const size_t streams = static_cast<size_t>(GetParam());
  const size_t share = kSessions / streams;
  std::vector<std::thread> talkers;
  for (size_t i = 0; i < streams; ++i) {
    talkers.emplace_back([&, i, talk_seed = static_cast<uint32_t>(random())] {
      Converse(server.channel(), std::span(shuffled).subspan(i * share, share), talk_seed);
    });
  }
  for (std::thread& talker : talkers) talker.join();

  double worst = 0;
  for (const Script& script : scripts) {
    ASSERT_EQ(script.outputs, script.model->Alone(script.inputs, script.h_0))
        << script.model->name() << ", " << script.time_steps << " steps";
    worst = std::max(worst, ReferenceError(script));
  }
  std::printf("largest difference to the reference: %.3g\n", worst);
  EXPECT_LE(worst, kReferenceBound);
}

INSTANTIATE_TEST_SUITE_P(Streams, ManySessionsTest, testing::Values(1, 100),
                         [](const auto& count) { return "On" + std::to_string(count.param) + "Streams"; });

}  // namespace
}  // namespace gruserve

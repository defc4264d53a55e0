// The trained network of Opus's packet-loss simulator, whole, over gRPC: as a sequence
// and as five concurrent sessions, against its float64 outputs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/cli.h"
#include "client/client.h"
#include "core/model/import/safetensors_reader.h"
#include "tests/support/in_process_server.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

namespace gc = client;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What issue and README promise.
constexpr double kBound = 2e-6;
constexpr int64_t kSteps = 400;
constexpr int64_t kStreams = 5;

const std::filesystem::path kData = std::filesystem::path(GRUSERVE_SOURCE_DIR) / "tests/data/opus_lossgen";

template <typename Number>
std::vector<Number> Numbers(const SafetensorsFile& file, const std::string& name) {
  const std::span<const char> bytes = file.bytes(file.entries().at(name));
  std::vector<Number> numbers(bytes.size() / sizeof(Number));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

template <typename Number>
double LargestDifference(const std::vector<float>& ours, const std::vector<Number>& expected) {
  EXPECT_EQ(ours.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(ours[i]) - static_cast<double>(expected[i])));
  return largest;
}

class RealNetworkTest : public testing::Test {
 protected:
  explicit RealNetworkTest(const std::vector<const char*>& files = {"model.safetensors", "model.json"})
      : server_(Repository(files)),
        client_(gc::Client::Connect(server_.server().address()).value()),
        witness_(SafetensorsFile::Read(kData / "steps.safetensors").value()),
        x_(Numbers<float>(witness_, "x")),
        y_(Numbers<double>(witness_, "y64")) {}

  const std::filesystem::path& Repository(const std::vector<const char*>& files) {
    const std::filesystem::path version = folder_ / "opus/1";
    std::filesystem::create_directories(version);
    for (const char* file : files) std::filesystem::copy_file(kData / file, version / file);
    return folder_.path();
  }

  gc::SequenceRequest Sequence() const {
    gc::SequenceRequest request;
    request.model = "opus";
    request.input = {{kSteps, kStreams, 2}, x_};
    return request;
  }

  void ExpectASequence(const std::string& first_state);
  void ExpectFiveConcurrentSessions();

  const ScratchFolder folder_;
  InProcessServer server_;
  const gc::Client client_;
  const SafetensorsFile witness_;
  const std::vector<float> x_;   // [T, B, 2]
  const std::vector<double> y_;  // [T, B, 1]
};

void RealNetworkTest::ExpectASequence(const std::string& first_state) {
  const auto result = client_.InferSequence(Sequence());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output.shape, ElementsAre(kSteps, kStreams, 1));
  const double error = LargestDifference(result->output.values, y_);
  std::printf("largest difference to float64: %.3g\n", error);
  EXPECT_LE(error, kBound);
  EXPECT_EQ(result->gru_cell_count, 2 * kSteps);
  ASSERT_EQ(result->states.size(), 2U);
  EXPECT_EQ(result->states[0].name, first_state);
  EXPECT_THAT(result->states[0].tensor.shape, ElementsAre(1, kStreams, 16));
  EXPECT_LE(LargestDifference(result->states[0].tensor.values, Numbers<double>(witness_, "h1_last64")),
            kBound);
  EXPECT_LE(LargestDifference(result->states[1].tensor.values, Numbers<double>(witness_, "h2_last64")),
            kBound);
}

void RealNetworkTest::ExpectFiveConcurrentSessions() {
  const auto sequence = client_.InferSequence(Sequence());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  std::vector<std::vector<float>> outputs(kStreams);
  const auto stream = client_.OpenStream();
  std::vector<std::thread> talkers;
  for (int64_t b = 0; b < kStreams; ++b) {
    talkers.emplace_back([&, b] {
      auto session = stream->Open({.model = "opus"});
      ASSERT_TRUE(session.ok()) << session.status();
      for (int64_t t = 0; t < kSteps; ++t) {
        const float* const row = x_.data() + (t * kStreams + b) * 2;
        const auto step = session->Step({{2}, {row[0], row[1]}}, {.return_state = t == kSteps - 1});
        ASSERT_TRUE(step.ok()) << step.status();
        outputs[static_cast<size_t>(b)].push_back(step->output.values[0]);
        if (t < kSteps - 1) continue;
        ASSERT_EQ(step->states.size(), 2U);
        EXPECT_THAT(step->states[1].tensor.shape, ElementsAre(1, 32));
      }
      EXPECT_TRUE(session->Close().ok());
    });
  }
  for (std::thread& talker : talkers) talker.join();
  ASSERT_TRUE(stream->Finish().ok());
  for (int64_t b = 0; b < kStreams; ++b) {
    for (int64_t t = 0; t < kSteps; ++t) {
      const auto at = static_cast<size_t>(t * kStreams + b);
      const float output = outputs[static_cast<size_t>(b)][static_cast<size_t>(t)];
      ASSERT_EQ(output, sequence->output.values[at]) << "stream " << b << ", step " << t;
      EXPECT_NEAR(output, y_[at], kBound);
    }
  }
}

TEST_F(RealNetworkTest, RunsAsASequence) { ExpectASequence("gru1"); }

TEST_F(RealNetworkTest, RunsAsFiveConcurrentSessionsWithTheSequencesBits) { ExpectFiveConcurrentSessions(); }

// The same network as an ONNX file, with its states as inputs.
class RealOnnxNetworkTest : public RealNetworkTest {
 protected:
  RealOnnxNetworkTest() : RealNetworkTest({"model.onnx"}) {}
};

TEST_F(RealOnnxNetworkTest, RunsAsASequence) { ExpectASequence("h1"); }

TEST_F(RealOnnxNetworkTest, RunsAsFiveConcurrentSessionsWithTheSequencesBits) {
  ExpectFiveConcurrentSessions();
}

TEST_F(RealNetworkTest, StatesGoOverByName) {
  gc::SequenceRequest first = Sequence();
  first.input = {{kSteps / 2, kStreams, 2}, {x_.begin(), x_.begin() + kSteps * kStreams}};
  const auto half = client_.InferSequence(first);
  ASSERT_TRUE(half.ok()) << half.status();
  gc::SequenceRequest second = first;
  second.input.values.assign(x_.begin() + kSteps * kStreams, x_.end());
  second.states = half->states;
  std::reverse(second.states.begin(), second.states.end());
  const auto rest = client_.InferSequence(second);
  ASSERT_TRUE(rest.ok()) << rest.status();
  const auto whole = client_.InferSequence(Sequence());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(std::equal(rest->output.values.begin(), rest->output.values.end(),
                         whole->output.values.begin() + kSteps / 2 * kStreams));

  auto session = client_.OpenSession({.model = "opus", .batch_size = kStreams, .states = half->states});
  ASSERT_TRUE(session.ok()) << session.status();
  const auto step =
      client_.Step(session->session_id,
                   {{kStreams, 2}, {x_.begin() + kSteps * kStreams, x_.begin() + (kSteps + 2) * kStreams}});
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_TRUE(
      std::equal(step->output.values.begin(), step->output.values.end(), rest->output.values.begin()));
  const auto stream = client_.OpenStream();
  auto live = stream->Open({.model = "opus", .batch_size = kStreams});
  ASSERT_TRUE(live.ok()) << live.status();
  ASSERT_TRUE(live->SetStates(half->states).ok());
  const auto again =
      live->Step({{kStreams, 2}, {x_.begin() + kSteps * kStreams, x_.begin() + (kSteps + 2) * kStreams}});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->output.values, step->output.values);
  EXPECT_TRUE(live->Close().ok());
  const auto snapshot = client_.GetSession(session->session_id, /*include_state=*/true);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->states.size(), 2U);
}

TEST_F(RealNetworkTest, RefusesStatesByTheirNames) {
  gc::SequenceRequest request = Sequence();
  request.h_0 = gc::Tensor{{1, kStreams, 16}, std::vector<float>(kStreams * 16)};
  EXPECT_THAT(
      client_.InferSequence(request).status(),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          HasSubstr("h_0 is set, model \"opus\" version 1 has 2 states (gru1, gru2): `states` is wanted")));
  request.h_0.reset();
  request.states = {{"gru3", {{1, kStreams, 16}, std::vector<float>(kStreams * 16)}}};
  EXPECT_THAT(
      client_.InferSequence(request).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("states[0].name is no state of model \"opus\" version 1, it has: gru1, gru2")));
  request.states[0].name = "gru2";
  EXPECT_THAT(client_.InferSequence(request).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("states[0].tensor.shape[2] is 16, model \"opus\" version 1 expects 32")));
  request.states[0].name = "gru1";
  request.states.push_back(request.states[0]);
  EXPECT_THAT(client_.InferSequence(request).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("states[1].name is \"gru1\", which came before")));
}

TEST_F(RealNetworkTest, ASequenceMayLeaveASessionBehind) {
  gc::SequenceRequest first = Sequence();
  first.input = {{kSteps / 2, kStreams, 2}, {x_.begin(), x_.begin() + kSteps * kStreams}};
  first.output = gc::OutputSelection::kNone;
  first.keep_session = gc::OpenOptions{.session_id = "prefilled"};
  const auto half = client_.InferSequence(first);
  ASSERT_TRUE(half.ok()) << half.status();
  const auto step = client_.Step(
      "prefilled", {{kStreams, 2}, {x_.begin() + kSteps * kStreams, x_.begin() + (kSteps + 2) * kStreams}});
  ASSERT_TRUE(step.ok()) << step.status();
  const auto whole = client_.InferSequence(Sequence());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(std::equal(step->output.values.begin(), step->output.values.end(),
                         whole->output.values.begin() + kSteps / 2 * kStreams));
}

TEST_F(RealNetworkTest, TheCommandLineWritesOneHiddenStateOnly) {
  for (const std::string command : {"infer", "stream"}) {
    std::istringstream in("0.5,1\n-1,0.25\n");
    std::ostringstream out;
    std::ostringstream err;
    const std::string h_n = (folder_ / "h_n.npy").string();
    EXPECT_EQ(gc::RunCli({"--server", server_.server().address(), command, "opus", "--h-n", h_n},
                         {&in, &out, &err}),
              1);
    EXPECT_THAT(err.str(),
                HasSubstr("the model has 2 hidden states, --h-n writes the one of a model that has one"));
  }
}

TEST_F(RealNetworkTest, IsDescribedAndIsNoCell) {
  const auto model = client_.GetModel("opus");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->input_size, 2);
  EXPECT_EQ(model->output_size, 1);
  EXPECT_EQ(model->parameter_count, 6105);
  EXPECT_EQ(model->gru_cells_per_step, 2);
  EXPECT_EQ(model->state_bytes_per_row, 48 * 4);
  ASSERT_EQ(model->modules.size(), 6U);
  EXPECT_EQ(model->modules[2].name, "gru1");
  EXPECT_EQ(model->modules[2].kind, "GRU");
  EXPECT_EQ(model->modules[2].output_size, 16);
  ASSERT_EQ(model->states.size(), 2U);
  EXPECT_THAT(model->states[1].shape, ElementsAre(1, -1, 32));
  EXPECT_THAT(client_.InferCell({.model = "opus", .input = {{2}, {0, 0}}}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is a network of 6 modules, InferCell runs one GRU cell and nothing else")));
}

}  // namespace
}  // namespace gruserve

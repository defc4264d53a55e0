// Whole networks as PyTorch exports them: PyTorch's numbers, and the same bits by steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/model/import/safetensors_reader.h"
#include "core/network/import/onnx/onnx_importer.h"
#include "core/network/import/onnx/onnx_reader.h"
#include "tests/core/network/network_fixture.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

const std::filesystem::path kData = std::filesystem::path(GRUSERVE_SOURCE_DIR) / "tests/data/torch_onnx";

struct TorchModel {
  const char* name;
  const char* not_steppable;  // Empty where it can step.
  const char* states;         // "name blocks x hidden", ...
};

void PrintTo(const TorchModel& model, std::ostream* out) { *out << model.name; }

std::vector<float> Floats(const SafetensorsFile& file, const std::string& name) {
  const std::span<const char> bytes = file.bytes(file.entries().at(name));
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

class TorchOnnxTest : public testing::TestWithParam<TorchModel> {
 protected:
  TorchOnnxTest()
      : witness_(SafetensorsFile::Read(kData / (std::string(GetParam().name) + ".safetensors")).value()),
        network_(Load()),
        replica_(NetworkReplica::Create(network_).value()),
        call_(*network_, witness_.entries().at("x").shape[0], witness_.entries().at("x").shape[1], 1) {
    call_.input = Floats(witness_, "x");
    std::fill(call_.h_0.begin(), call_.h_0.end(), 0.0F);
    call_.Reset();
  }

  static std::shared_ptr<const Network> Load() {
    const ModelFolder folder(kData);
    const std::string bytes = folder.Read("file", std::string(GetParam().name) + ".onnx").value();
    const OnnxModel model = ParseOnnx(bytes, &folder).value();
    return Network::Create(ImportOnnx(model).value()).value();
  }

  const SafetensorsFile witness_;
  const std::shared_ptr<const Network> network_;
  const std::unique_ptr<NetworkReplica> replica_;
  NetworkCall call_;
};

TEST_P(TorchOnnxTest, HasTorchsNumbers) {
  ASSERT_TRUE(replica_->RunSequence(call_.call()).ok());
  const std::vector<float> expected = Floats(witness_, "y");
  ASSERT_EQ(call_.output.size(), expected.size());
  const float torch_error = Floats(witness_, "torch_error")[0];
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double bound = std::max(2.0F * torch_error, 1.2e-7F * std::max(1.0F, std::abs(expected[i])));
    const double difference = std::abs(static_cast<double>(call_.output[i]) - expected[i]);
    ASSERT_LE(difference, bound) << i;
    largest = std::max(largest, difference);
  }
  std::printf("largest difference %.3g, torch's own %.3g\n", largest, torch_error);
  if (!witness_.entries().contains("h_n")) return;
  const std::vector<float> h_n = Floats(witness_, "h_n");  // [L, B, H]
  const NetworkState& state = network_->states()[0];
  for (int64_t block = 0; block < state.blocks; ++block) {
    for (int64_t b = 0; b < call_.batch_size; ++b) {
      for (int64_t i = 0; i < state.hidden_size; ++i)
        EXPECT_NEAR(call_.rows[static_cast<size_t>(b)][block * state.hidden_size + i],
                    h_n[static_cast<size_t>((block * call_.batch_size + b) * state.hidden_size + i)], 5e-7);
    }
  }
}

TEST_P(TorchOnnxTest, StepsHaveTheSequencesBits) {
  EXPECT_THAT(network_->not_steppable(), testing::HasSubstr(GetParam().not_steppable));
  ASSERT_EQ(network_->steppable(), std::strlen(GetParam().not_steppable) == 0);
  if (!network_->steppable()) return;
  ASSERT_TRUE(replica_->RunSequence(call_.call()).ok());
  const std::vector<float> sequence = call_.output;
  const std::vector<float> states = call_.states;
  call_.Reset();
  for (int64_t t = 0; t < call_.time_steps; ++t) {
    for (int64_t b = 0; b < call_.batch_size; ++b) {
      const StepRow row = {call_.input.data() + (t * call_.batch_size + b) * network_->input_size(),
                           call_.rows[static_cast<size_t>(b)],
                           call_.output.data() + (t * call_.batch_size + b) * network_->output_size()};
      ASSERT_TRUE(replica_->RunSteps({&row, 1}).ok());
    }
  }
  EXPECT_TRUE(SameBits(call_.output, sequence));
  EXPECT_TRUE(SameBits(call_.states, states));
}

TEST_P(TorchOnnxTest, NamesItsStates) {
  std::string states;
  for (const NetworkState& state : network_->states())
    states += (states.empty() ? "" : ", ") + state.name + " " + std::to_string(state.blocks) + "x" +
              std::to_string(state.hidden_size);
  EXPECT_EQ(states, GetParam().states);
}

std::string NameOf(const testing::TestParamInfo<TorchModel>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    All, TorchOnnxTest,
    testing::Values(TorchModel{"language_opset11", "", "h_0 2x16"},
                    TorchModel{"language_opset13", "", "h_0 2x16"},
                    TorchModel{"language_opset17", "", "h_0 2x16"},
                    TorchModel{"stateless", "", "/gru/GRU 1x16, /gru/GRU_1 1x16"},
                    TorchModel{"joined", "", "/voice/GRU 1x6, /noise/GRU 1x9, /gains/GRU 1x7"},
                    TorchModel{"bidirectional", "bidirectional GRU needs the whole sequence",
                               "/gru/GRU 2x8, /gru/GRU_1 2x8"},
                    TorchModel{"last_step", "", "/gru/GRU 1x10, /gru/GRU_1 1x10"},
                    TorchModel{"last_output", "", "/gru/GRU 1x10, /gru/GRU_1 1x10"},
                    TorchModel{"cell", "", "h 1x10"}),
    NameOf);

}  // namespace
}  // namespace gruserve

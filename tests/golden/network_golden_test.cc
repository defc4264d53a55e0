// Whole networks of PyTorch, from their state_dict and model.json: as a sequence and
// step by step with equal bits, and within PyTorch's own float32 error of float64.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/model/import/safetensors_reader.h"
#include "core/runtime/model_loader.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

// Where PyTorch's own error is smaller than what outputs of this size can say.
constexpr double kLeastBound = 1e-6;

class NetworkGoldenTest : public testing::TestWithParam<const char*> {
 protected:
  NetworkGoldenTest()
      : folder_(std::filesystem::path(GRUSERVE_SOURCE_DIR) / "tests/golden/networks" / GetParam()),
        model_(LoadModel(folder_, GetParam(), 1, /*num_workers=*/1, ComputeDtype::kF32).value()),
        witness_(SafetensorsFile::Read(folder_ / "witness.safetensors").value()),
        x_(Numbers("x")),
        y_(Numbers("y")),
        time_steps_(witness_.entries().at("x").shape[0]),
        batch_size_(witness_.entries().at("x").shape[1]) {}

  std::vector<float> Numbers(const std::string& name) const {
    const std::span<const char> bytes = witness_.bytes(witness_.entries().at(name));
    std::vector<float> numbers(bytes.size() / sizeof(float));
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
    return numbers;
  }

  std::vector<float*> Rows(std::vector<float>* states) const {
    const int64_t state_size = model_->network().state_size();
    states->assign(static_cast<size_t>(batch_size_ * state_size), 0.0F);
    std::vector<float*> rows;
    for (int64_t b = 0; b < batch_size_; ++b) rows.push_back(states->data() + b * state_size);
    return rows;
  }

  std::vector<float> RunSequence() {
    const Network& network = model_->network();
    std::vector<float> output(y_.size());
    std::vector<float> states;
    const std::vector<float*> rows = Rows(&states);
    const absl::Status status =
        model_->replica(0).RunSequence({.time_steps = time_steps_,
                                        .batch_size = batch_size_,
                                        .input = x_.data(),
                                        .input_time_stride = batch_size_ * network.input_size(),
                                        .input_batch_stride = network.input_size(),
                                        .output = output.data(),
                                        .output_time_stride = batch_size_ * network.output_size(),
                                        .output_batch_stride = network.output_size(),
                                        .states = rows});
    EXPECT_TRUE(status.ok()) << status;
    return output;
  }

  // Each batch row by itself, step by step.
  std::vector<float> RunSteps() {
    const Network& network = model_->network();
    std::vector<float> output(y_.size());
    std::vector<float> states;
    const std::vector<float*> rows = Rows(&states);
    for (int64_t b = 0; b < batch_size_; ++b) {
      for (int64_t t = 0; t < time_steps_; ++t) {
        const int64_t row = t * batch_size_ + b;
        const StepRow step{x_.data() + row * network.input_size(), rows[static_cast<size_t>(b)],
                           output.data() + row * network.output_size()};
        EXPECT_TRUE(model_->replica(0).RunSteps({&step, 1}).ok());
      }
    }
    return output;
  }

  const std::filesystem::path folder_;
  const ModelHandle model_;
  const SafetensorsFile witness_;
  const std::vector<float> x_;  // [T, B, I]
  const std::vector<float> y_;  // [T, B, O]
  const int64_t time_steps_;
  const int64_t batch_size_;
};

TEST_P(NetworkGoldenTest, IsWithinTwiceTorchsOwnError) {
  const std::vector<float> output = RunSequence();
  double error = 0;
  for (size_t i = 0; i < y_.size(); ++i)
    error = std::max(error, std::abs(static_cast<double>(output[i]) - static_cast<double>(y_[i])));
  const double torch_error = static_cast<double>(Numbers("torch_error")[0]);
  std::printf("%s: largest error %.3g, PyTorch's own %.3g\n", GetParam(), error, torch_error);
  EXPECT_LE(error, std::max(2 * torch_error, kLeastBound));
}

TEST_P(NetworkGoldenTest, StepsHaveTheSequencesBits) {
  if (!model_->network().steppable()) {
    EXPECT_EQ(model_->network().not_steppable(),
              "node \"gru\": a bidirectional GRU needs the whole sequence");
    return;
  }
  EXPECT_TRUE(SameBits(RunSteps(), RunSequence()));
}

INSTANTIATE_TEST_SUITE_P(Networks, NetworkGoldenTest, testing::Values("language", "joined", "bidirectional"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace gruserve

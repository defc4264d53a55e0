#include "tests/support/test_repository.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/support/model_builder.h"

namespace gruserve {

TestModel::TestModel(std::string name, uint32_t seed, const GruConfig& config)
    : name_(std::move(name)), gru_(RandomGru(seed, config)) {
  auto model = Model::Create(gru_.network());
  EXPECT_TRUE(model.ok()) << model.status();
  auto replica = Replica::Create(*std::move(model));
  EXPECT_TRUE(replica.ok()) << replica.status();
  replica_ = *std::move(replica);
}

std::vector<float> TestModel::Alone(std::span<const float> inputs, std::span<const float> h_0) const {
  const GruConfig& gru = config();
  const int64_t steps = static_cast<int64_t>(inputs.size()) / gru.input_size;
  std::vector<float> state(h_0.begin(), h_0.end());
  state.resize(static_cast<size_t>(gru.state_size()));
  std::vector<float> outputs(static_cast<size_t>(steps * gru.hidden_size));
  for (int64_t t = 0; t < steps; ++t) {
    const StepRow row{.input = inputs.data() + t * gru.input_size,
                      .state = state.data(),
                      .output = outputs.data() + t * gru.hidden_size};
    EXPECT_TRUE(replica_->RunSteps({&row, 1}).ok());
  }
  return outputs;
}

const TestModel& TestRepository::Add(const std::string& name, const GruConfig& config, uint32_t seed,
                                     int64_t version) {
  models_.push_back(std::make_unique<TestModel>(name, seed, config));
  Replace(name, version, SafetensorsBytes(StateDict(models_.back()->gru())));
  return *models_.back();
}

void TestRepository::AddBroken(const std::string& name, int64_t version) {
  Replace(name, version, "not a model");
}

// By another file, as an operator should: also one of the same size and time is seen.
void TestRepository::Replace(const std::string& name, int64_t version, const std::string& bytes) {
  const std::filesystem::path fresh = root() / name / "fresh.safetensors";
  const std::filesystem::path folder = FolderOf(name, version);
  WriteFile(fresh, bytes);
  std::filesystem::create_directories(folder);
  std::filesystem::rename(fresh, folder / "model.safetensors");
}

}  // namespace gruserve

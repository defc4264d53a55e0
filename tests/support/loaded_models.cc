#include "tests/support/loaded_models.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

// Nothing below a whole batch is worth a second worker.
StepCosts FixedCosts() { return StepCosts({{1, absl::Microseconds(1)}, {64, absl::Microseconds(18)}}); }

}  // namespace

ModelHandle MakeLoadedModel(const RandomGruNetwork& gru, const std::string& name) {
  return LoadedModel::Create(name, /*version=*/1, absl::StrCat("of ", name),
                             Network::Create(gru.network()).value(),
                             /*num_workers=*/1, FixedCosts())
      .value();
}

LoadedRandomModel::LoadedRandomModel(uint32_t seed, const GruConfig& config, int num_workers,
                                     const std::string& name, int64_t version) {
  const std::shared_ptr<const Model> model = RandomModel(seed, config);
  auto handle = LoadedModel::Create(name, version, absl::StrCat("0123-", seed), Network::Create(model),
                                    num_workers, FixedCosts());
  EXPECT_TRUE(handle.ok()) << handle.status();
  handle_ = *std::move(handle);
  auto lone = Replica::Create(model);
  EXPECT_TRUE(lone.ok()) << lone.status();
  lone_ = *std::move(lone);
}

std::vector<float> LoadedRandomModel::RunAlone(int64_t rows, const std::vector<float>& input,
                                               std::vector<float>* state) const {
  const int64_t layers = config().state_blocks();
  const int64_t hidden = config().hidden_size;
  state->resize(static_cast<size_t>(layers * rows * hidden));
  std::vector<std::vector<float>> by_row(static_cast<size_t>(rows));
  std::vector<float*> states;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<float>& own = by_row[static_cast<size_t>(row)];
    for (int64_t layer = 0; layer < layers; ++layer) {
      const auto block = state->begin() + (layer * rows + row) * hidden;
      own.insert(own.end(), block, block + hidden);
    }
    states.push_back(own.data());
  }
  const int64_t time_steps = static_cast<int64_t>(input.size()) / (rows * config().input_size);
  std::vector<float> output(static_cast<size_t>(time_steps * rows * config().output_size()));
  SequenceCall call;
  call.time_steps = time_steps;
  call.batch_size = rows;
  call.input = input.data();
  call.input_time_stride = rows * config().input_size;
  call.input_batch_stride = config().input_size;
  call.output = output.data();
  call.output_time_stride = rows * config().output_size();
  call.output_batch_stride = config().output_size();
  call.states = states;
  const absl::Status status = lone_->RunSequence(call);
  EXPECT_TRUE(status.ok()) << status;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      const auto block = by_row[static_cast<size_t>(row)].begin() + layer * hidden;
      std::copy(block, block + hidden, state->begin() + (layer * rows + row) * hidden);
    }
  }
  return output;
}

}  // namespace gruserve

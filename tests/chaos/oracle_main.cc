// What the sessions of chaos-load must have seen: each alone, from the weights' file,
// in a process that nothing disturbs. Reads chaos-load's lines, `session` and
// `operations` of them, and answers each with `outputs` and `state`.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

#include "core/runtime/model_loader.h"
#include "nlohmann/json.hpp"
#include "tests/chaos/script.h"

namespace gruserve::chaos {
namespace {

class Oracle {
 public:
  Oracle(ModelHandle model, uint64_t seed) : model_(std::move(model)), seed_(seed) {
    const NetworkState& state = model_->network().states().front();
    shape_ = {model_->network().input_size(), state.blocks, state.hidden_size};
  }

  nlohmann::json Answer(int64_t session, int64_t operations) const {
    const Network& network = model_->network();
    std::vector<float> state(static_cast<size_t>(network.state_size()));
    std::vector<float> output(static_cast<size_t>(network.output_size()));
    uint64_t outputs = 0;
    std::deque<std::vector<float>> before = {state};  // After the last operations, the last one at the end.
    for (int64_t i = 0; i < operations; ++i) {
      const Operation operation = OperationOf(seed_, session, i, shape_);
      std::vector<float> all;
      if (operation.rewind_back > 0) {
        state = before[before.size() - 1 -
                       std::min(static_cast<size_t>(operation.rewind_back), before.size() - 1)];
      } else if (operation.set_state) {
        state.assign(state.size(), 0.0f);
        std::copy(operation.values.begin(), operation.values.end(), state.begin());
      }
      for (int64_t step = 0; !operation.set_state && step < operation.time_steps; ++step) {
        const StepRow row{operation.values.data() + step * shape_.input_size, state.data(), output.data()};
        const absl::Status status = model_->replica(0).RunSteps({&row, 1});
        if (!status.ok()) return {{"error", status.ToString()}};
        all.insert(all.end(), output.begin(), output.end());
      }
      outputs = Chain(outputs, all);
      before.push_back(state);
      if (before.size() > kKeptStates) before.pop_front();
    }
    return {
        {"session", session}, {"operations", operations}, {"outputs", outputs}, {"state", Chain(0, state)}};
  }

 private:
  const ModelHandle model_;
  const uint64_t seed_;
  ModelShape shape_;
};

int Main(int argc, const char* const* argv) {
  std::string folder;
  uint64_t seed = 1;
  CLI::App app("Computes what undisturbed sessions answer; see the head of oracle_main.cc.", "chaos-oracle");
  app.add_option("--model", folder, "The version's folder.")->required();
  app.add_option("--seed", seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  absl::StatusOr<ModelHandle> model = LoadModel(folder, "oracle", 1, 1, ComputeDtype::kF32);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    return 1;
  }
  const Oracle oracle(*std::move(model), seed);
  std::string line;
  while (std::getline(std::cin, line)) {
    const nlohmann::json asked = nlohmann::json::parse(line);
    std::cout << oracle.Answer(asked["session"], asked["operations"]).dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace gruserve::chaos

int main(int argc, char** argv) { return gruserve::chaos::Main(argc, argv); }

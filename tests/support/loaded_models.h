// A loaded model with random weights, and what a session of it should answer.

#ifndef GRUSERVE_TESTS_SUPPORT_LOADED_MODELS_H_
#define GRUSERVE_TESTS_SUPPORT_LOADED_MODELS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/runtime/loaded_model.h"
#include "tests/support/reference_gru.h"

namespace gruserve {

// A network's first version, ready to run; its steps cost the same on every machine.
ModelHandle MakeLoadedModel(const RandomGruNetwork& gru, const std::string& name);

class LoadedRandomModel {
 public:
  // Its steps cost the same on every machine. REQUIRES: a sound config.
  LoadedRandomModel(uint32_t seed, const GruConfig& config, int num_workers = 1,
                    const std::string& name = "demo", int64_t version = 1);

  const ModelHandle& handle() const { return handle_; }
  const GruConfig& config() const { return handle_->config(); }

  // `input` [T, rows, I] run as one sequence, on a replica that nobody else has,
  // from `state` [layers, rows, H] (empty: zeros), which it replaces. Answers
  // [T, rows, H]. Not thread-safe.
  std::vector<float> RunAlone(int64_t rows, const std::vector<float>& input, std::vector<float>* state) const;

 private:
  ModelHandle handle_;
  std::unique_ptr<Replica> lone_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_LOADED_MODELS_H_

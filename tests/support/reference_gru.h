// A GRU in double precision, written from PyTorch's formulas, loop by loop: the
// witness for the numbers. And random networks, from a seed.

#ifndef GRUSERVE_TESTS_SUPPORT_REFERENCE_GRU_H_
#define GRUSERVE_TESTS_SUPPORT_REFERENCE_GRU_H_

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/model/gru_config.h"
#include "core/model/gru_weights.h"
#include "core/model/model.h"

namespace gruserve {

// One layer and direction as a state_dict has it.
struct StateDictLayer {
  std::vector<float> weight_ih;  // [3H, I], rows r|z|n.
  std::vector<float> weight_hh;  // [3H, H]
  std::vector<float> bias_ih;    // [3H], or empty.
  std::vector<float> bias_hh;    // [3H], or empty.

  PyTorchGruTensors tensors() const { return {weight_ih, weight_hh, bias_ih, bias_hh}; }
};

struct RandomGruNetwork {
  GruConfig config;
  std::vector<StateDictLayer> layers;  // Layer-major: l0, l0_reverse, l1, ...

  // The same numbers in oneDNN's order.
  GruNetwork network() const;
};

// Weights from U(-1/sqrt(H), 1/sqrt(H)), as PyTorch initialises them.
RandomGruNetwork RandomGru(uint32_t seed, const GruConfig& config);

// RandomGru as a loaded model. REQUIRES: a sound config.
std::shared_ptr<const Model> RandomModel(uint32_t seed, const GruConfig& config);

// `count` numbers from U(-bound, bound).
std::vector<float> RandomFloats(std::mt19937& random, int64_t count, float bound = 1.0F);

struct ReferenceResult {
  std::vector<double> output;  // [T, B, D * H], zero past a row's length.
  std::vector<double> h_n;     // [layers * D, B, H]
};

// What torch.nn.GRU answers for input [T, B, I]. `h_0` [layers * D, B, H] may be
// empty (zeros), `lengths` too (all T).
ReferenceResult ReferenceGru(const RandomGruNetwork& gru, int64_t time_steps, int64_t batch_size,
                             const std::vector<float>& input, const std::vector<float>& h_0 = {},
                             const std::vector<int64_t>& lengths = {});

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_REFERENCE_GRU_H_

#include <cmath>
#include <utility>

#include "tests/support/reference_gru.h"

namespace gruserve {

GruNetwork RandomGruNetwork::network() const {
  GruNetwork network{.config = config, .layers = {}, .parameter_count = 0};
  for (size_t i = 0; i < layers.size(); ++i) {
    const StateDictLayer& layer = layers[i];
    network.layers.push_back(
        FromPyTorch(layer.tensors(), config.layer_input_size(static_cast<int64_t>(i) / config.num_directions),
                    config.hidden_size, config.cell_kind));
    network.parameter_count += static_cast<int64_t>(layer.weight_ih.size() + layer.weight_hh.size() +
                                                    layer.bias_ih.size() + layer.bias_hh.size());
  }
  return network;
}

RandomGruNetwork RandomGru(uint32_t seed, const GruConfig& config) {
  std::mt19937 random(seed);
  const float bound = 1.0F / std::sqrt(static_cast<float>(config.hidden_size));
  const int64_t rows = 3 * config.hidden_size;
  RandomGruNetwork gru{.config = config, .layers = {}};
  for (int64_t block = 0; block < config.state_blocks(); ++block) {
    StateDictLayer layer;
    layer.weight_ih =
        RandomFloats(random, rows * config.layer_input_size(block / config.num_directions), bound);
    layer.weight_hh = RandomFloats(random, rows * config.hidden_size, bound);
    if (config.bias) layer.bias_ih = RandomFloats(random, rows, bound);
    if (config.bias) layer.bias_hh = RandomFloats(random, rows, bound);
    gru.layers.push_back(std::move(layer));
  }
  return gru;
}

std::shared_ptr<const Model> RandomModel(uint32_t seed, const GruConfig& config) {
  return Model::Create(RandomGru(seed, config).network()).value();
}

std::vector<float> RandomFloats(std::mt19937& random, int64_t count, float bound) {
  std::uniform_real_distribution<float> uniform(-bound, bound);
  std::vector<float> floats(static_cast<size_t>(count));
  for (float& value : floats) value = uniform(random);
  return floats;
}

}  // namespace gruserve

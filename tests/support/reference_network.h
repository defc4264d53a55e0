// Random networks, and what they answer in double precision, node by node and loop by
// loop: the witness for the numbers of whole graphs.

#ifndef GRUSERVE_TESTS_SUPPORT_REFERENCE_NETWORK_H_
#define GRUSERVE_TESTS_SUPPORT_REFERENCE_NETWORK_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/network/graph.h"
#include "tests/support/reference_gru.h"

namespace gruserve {

// A graph under construction, with random numbers from a seed.
class GraphBuilder {
 public:
  explicit GraphBuilder(uint32_t seed) : random_(seed) {}

  // All inputs come before all nodes.
  ValueId Input(const std::string& name, int64_t width);
  // The newest value becomes the output.
  ValueId Add(const std::string& name, GraphOp op, std::vector<ValueId> inputs);
  // A GRU with a state of its own, of the same name.
  ValueId Gru(const std::string& name, ValueId input, GruConfig config);
  // h' = clip(relu(W x + U h)), and a state of its own.
  ValueId ReluCell(const std::string& name, ValueId input, int64_t hidden_size);
  ValueId Linear(const std::string& name, ValueId input, int64_t output_width);
  ValueId LayerNorm(const std::string& name, ValueId input);
  ValueId Embedding(const std::string& name, ValueId input, int64_t rows, int64_t width);
  ValueId Unary(const std::string& name, ValueId input, UnaryFunction function, float alpha = 0,
                float beta = 0);

  int64_t width(ValueId value) const { return ValueWidths(graph).value()[static_cast<size_t>(value)]; }
  std::vector<float> Random(int64_t count, float bound = 1.0F) { return RandomFloats(random_, count, bound); }

  Graph graph;
  std::map<ValueId, RandomGruNetwork> grus;  // What the GRUs are made of.

 private:
  std::mt19937 random_;
};

struct ReferenceAnswer {
  std::vector<double> output;  // [T, B, output_size], zero past a row's length.
  std::vector<double> states;  // [B, state_size]
};

// For input [T, B, input_size]; `states` [B, state_size] and `lengths` may be empty.
ReferenceAnswer ReferenceNetwork(const GraphBuilder& network, int64_t time_steps, int64_t batch_size,
                                 const std::vector<float>& input, const std::vector<float>& states = {},
                                 const std::vector<int64_t>& lengths = {});

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_REFERENCE_NETWORK_H_

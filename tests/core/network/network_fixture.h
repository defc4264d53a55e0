// Networks of all forms, and sequence calls on them with their own arrays.

#ifndef GRUSERVE_TESTS_CORE_NETWORK_NETWORK_FIXTURE_H_
#define GRUSERVE_TESTS_CORE_NETWORK_NETWORK_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/network/network_replica.h"
#include "core/network/network_run.h"
#include "tests/support/reference_network.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {

struct NetworkForm {
  const char* name;
  void (*build)(GraphBuilder& builder);
  double tolerance = 2e-6;

  GraphBuilder Builder() const {
    GraphBuilder builder(7);
    build(builder);
    return builder;
  }
  std::shared_ptr<const Network> Load() const { return Network::Create(std::move(Builder().graph)).value(); }
};

inline void PrintTo(const NetworkForm& form, std::ostream* out) { *out << form.name; }

// Linear, tanh, two GRUs in a row, Linear, sigmoid.
inline void BuildStack(GraphBuilder& b) {
  ValueId x = b.Unary("in_tanh", b.Linear("in", b.Input("x", 3), 8), UnaryFunction::kTanh);
  x = b.Gru("gru2", b.Gru("gru1", x, {.hidden_size = 16}), {.hidden_size = 20});
  b.Unary("out_sigmoid", b.Linear("out", x, 2), UnaryFunction::kSigmoid);
}

// A word's embedding, a GRU of 2 layers, LayerNorm, Linear, LogSoftmax.
inline void BuildLanguage(GraphBuilder& b) {
  ValueId x = b.Embedding("embed", b.Input("word", 1), 11, 6);
  x = b.LayerNorm("norm", b.Gru("gru", x, {.hidden_size = 24, .num_layers = 2}));
  b.Add("log_softmax", SoftmaxNode{.log = true}, {b.Linear("fc", x, 11)});
}

// Three GRUs joined by concatenations, and two inputs.
inline void BuildJoined(GraphBuilder& b) {
  const ValueId x = b.Input("x", 5);
  const ValueId y = b.Input("y", 2);
  const ValueId both = b.Add("both", ConcatNode{}, {x, y});
  const ValueId dense = b.Unary("dense_tanh", b.Linear("dense", both, 9), UnaryFunction::kTanh);
  const ValueId first = b.Gru("first", dense, {.hidden_size = 7});
  const ValueId second = b.Gru("second", b.Add("c1", ConcatNode{}, {dense, first, y}), {.hidden_size = 12});
  const ValueId third = b.Gru("third", b.Add("c2", ConcatNode{}, {first, second, x}), {.hidden_size = 10});
  b.Linear("out", b.Add("c3", ConcatNode{}, {third, second}), 4);
}

// The output is a GRU's own; a skip around it stays unused.
inline void BuildGruLast(GraphBuilder& b) {
  const ValueId x = b.Linear("in", b.Input("x", 4), 6);
  b.Unary("unused", x, UnaryFunction::kExp);
  b.Gru("gru", x, {.hidden_size = 9, .num_layers = 2});
}

// A GRU's output is the network's, and another GRU reads it too.
inline void BuildReadOutput(GraphBuilder& b) {
  const ValueId first = b.Gru("first", b.Input("x", 4), {.hidden_size = 6});
  b.Gru("second", first, {.hidden_size = 5});
  b.graph.output = first;
}

// Two directions, and a Linear.
inline void BuildBidirectional(GraphBuilder& b) {
  b.Linear("fc", b.Gru("gru", b.Input("x", 4), {.hidden_size = 8, .num_layers = 2, .num_directions = 2}), 3);
}

// A reversed GRU beside a forward one, and a sum of both.
inline void BuildReversed(GraphBuilder& b) {
  const ValueId x = b.Input("x", 4);
  const ValueId forward = b.Gru("forward", x, {.hidden_size = 8});
  const ValueId reversed = b.Gru("reversed", b.Add("to_back", ReverseTimeNode{}, {x}), {.hidden_size = 8});
  b.Add("sum", BinaryNode{}, {forward, b.Add("to_front", ReverseTimeNode{}, {reversed})});
}

// A composed cell between row ops, and every arithmetic beside it.
inline void BuildCell(GraphBuilder& b) {
  const ValueId x = b.Input("x", 6);
  const ValueId centred =
      b.Add("mean", BinaryNode{.function = BinaryFunction::kSub, .constant = {0.5F}}, {x});
  const ValueId cell = b.ReluCell("cell", centred, 10);
  const ValueId least = b.Add("min", ReduceNode{.function = ReduceFunction::kMin}, {x});
  const ValueId gated = b.Add("gate", BinaryNode{.function = BinaryFunction::kMul}, {least, cell});
  const ValueId inverse =
      b.Add("inverse",
            BinaryNode{.function = BinaryFunction::kSub, .constant = b.Random(10), .constant_first = true},
            {gated});
  b.Add("tail", SliceNode{.begin = 3, .width = 5}, {inverse});
}

// A one-hot word beside numbers, into GRUCells of both kinds.
inline void BuildOneHot(GraphBuilder& b) {
  const ValueId x = b.Input("x", 4);
  const ValueId word = b.Add("word", SliceNode{.begin = 2, .width = 1}, {x});
  const ValueId numbers = b.Add("numbers", SliceNode{.begin = 0, .width = 2}, {x});
  const ValueId both =
      b.Add("both", ConcatNode{}, {b.Add("one_hot", OneHotNode{.depth = 11}, {word}), numbers});
  const ValueId cell = b.Gru("cell", both, {.module_kind = ModuleKind::kGruCell, .hidden_size = 5});
  b.Gru("elder", cell, {.cell_kind = CellKind::kResetBefore, .hidden_size = 6});
}

inline const NetworkForm kForms[] = {
    {"Stack", BuildStack},           {"Language", BuildLanguage, 4e-6},
    {"Joined", BuildJoined},         {"GruLast", BuildGruLast},
    {"ReadOutput", BuildReadOutput}, {"Bidirectional", BuildBidirectional},
    {"Reversed", BuildReversed},     {"Cell", BuildCell},
    {"OneHot", BuildOneHot},
};

// A call on a network. Where an input must be an index, it is one.
struct NetworkCall : CallArrays {
  NetworkCall(const Network& network, int64_t steps, int64_t batch, uint32_t seed)
      : CallArrays({network.input_size(), network.output_size(), network.state_size()}, steps, batch, seed) {
    std::mt19937 random(seed);
    for (const IndexFeature& index : network.index_features()) {
      for (int64_t row = 0; row < steps * batch; ++row) {
        float& value = input[static_cast<size_t>(row * network.input_size() + index.feature)];
        value = static_cast<float>(random() % static_cast<uint32_t>(index.size));
      }
    }
  }
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_NETWORK_NETWORK_FIXTURE_H_

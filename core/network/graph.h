// A whole network as importers describe it: GRUs, and what stands around them. The
// meeting point of all formats (model.json, ONNX); network.h makes it run.
//
// Every value of a graph is *a row of numbers per time step and batch row*: the time
// and the batch axis are never seen here. That is what lets one graph run as a whole
// sequence and step by step. An importer whose format has explicit axes (ONNX) has to
// find out that a node works on the feature axis alone; a node that mixes time steps
// (a convolution, a softmax over time) has no place here, and the importer refuses it
// by its name. ReverseTimeNode is the one exception.
//
// Values are numbered: first the inputs, then one for each node, in the order of
// `nodes`. A node reads values with lower numbers only, so the order is topological.
//
// Plain values; move-only, since GRU weights are.

#ifndef GRUSERVE_CORE_NETWORK_GRAPH_H_
#define GRUSERVE_CORE_NETWORK_GRAPH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/row_op.h"
#include "core/model/gru_weights.h"

namespace gruserve {

struct Graph;

// Index of a value: of an input, or number of inputs + index of a node.
using ValueId = int64_t;

// A GRU on oneDNN's primitives: one or more layers, one or two directions, either of
// the two cell kinds. Input: [I]. Output: [D * H] of its last layer, forward first.
struct GruNode {
  GruNetwork network;
  int64_t state = 0;        // Index in Graph::states.
  int64_t first_block = 0;  // It owns state_blocks() blocks of that state from here on.
};

// Any other recurrent cell (other activations, a clip): h' = body(x, h), where `body`
// is a graph of row ops with the inputs x and h, no states, and one output as wide as
// h. Left to right; a reverse one stands between two ReverseTimeNodes. What depends on
// x alone (W x + b) is better left outside, before the cell, where all time steps
// are computed together. Input: x. Output: h'.
struct CellNode {
  std::unique_ptr<Graph> body;
  int64_t state = 0;
  int64_t block = 0;  // It owns one block.
};

// y = W x + b: torch.nn.Linear, MatMul, Gemm. Input: [I].
struct DenseNode {
  int64_t output_width = 0;
  std::vector<float> weight;  // [O, I], row-major, as PyTorch has it.
  std::vector<float> bias;    // [O], or empty.
};

// y = f(x), number by number.
struct UnaryNode {
  UnaryFunction function = UnaryFunction::kTanh;
  float alpha = 0;
  float beta = 0;
};

// y = f(x0, x1). Two inputs of equal width; or one of them of width 1, which then
// counts for every feature of the other. Or one input and a constant.
struct BinaryNode {
  BinaryFunction function = BinaryFunction::kAdd;
  std::vector<float> constant;  // The second operand: [F] or [1]; empty for two inputs.
  bool constant_first = false;  // f(constant, x) instead.
};

// torch.nn.LayerNorm over all features of a row.
struct LayerNormNode {
  float epsilon = 1e-5F;
  std::vector<float> scale;  // [F], or empty.
  std::vector<float> shift;  // [F], or empty.
};

// Over all features of a row.
struct SoftmaxNode {
  bool log = false;
};

// Over all features of a row; the output has width 1.
struct ReduceNode {
  ReduceFunction function = ReduceFunction::kMean;
};

// Its inputs, one after the other.
struct ConcatNode {};

// Features begin, begin + 1, ... of its input.
struct SliceNode {
  int64_t begin = 0;
  int64_t width = 0;
};

// Row `index` of the table. Input: [1], which must be an input of the graph, or a slice
// of one, so that an index that is no row of the table is refused when it arrives.
struct EmbeddingNode {
  int64_t rows = 0;
  int64_t width = 0;
  std::vector<float> table;  // [rows, width]
};

// All zeros but a 1 at `index`. Input: as for an embedding. Output: [depth].
struct OneHotNode {
  int64_t depth = 0;
};

// The same rows in the opposite order of time, each batch row from its own end. A graph
// with one cannot step.
struct ReverseTimeNode {};

using GraphOp = std::variant<GruNode, CellNode, DenseNode, UnaryNode, BinaryNode, LayerNormNode, SoftmaxNode,
                             ReduceNode, ConcatNode, SliceNode, EmbeddingNode, OneHotNode, ReverseTimeNode>;

struct GraphNode {
  std::string name;  // The format's own, for messages and descriptions. Need not be unique.
  GraphOp op;
  std::vector<ValueId> inputs;
  // What the format calls it ("Tanh", "Gemm"), for descriptions; empty: a word for `op`.
  // Nodes next to each other with the same name and kind are described as one.
  std::string kind = {};
};

struct GraphInput {
  std::string name;
  int64_t width = 0;

  bool operator==(const GraphInput&) const = default;
};

// A hidden state that one batch row keeps: [blocks, H], layer-major, then directions,
// as GruConfig says; each block is owned by exactly one node. One GruNode of 2 layers
// may own both blocks of a state, or two of 1 layer one each.
struct GraphState {
  std::string name;
  int64_t blocks = 1;
  int64_t hidden_size = 0;
  ModuleKind module_kind = ModuleKind::kGru;  // kGruCell: one block, seen as [B, H].
  std::vector<float> initial;                 // [blocks, H] to begin with; empty: zeros.
};

struct Graph {
  // At least one. A row that comes in is all inputs one after the other: a call's
  // input_size is the sum of their widths.
  std::vector<GraphInput> inputs;
  std::vector<GraphNode> nodes;
  // In graph order. A session's row is all states one after the other.
  std::vector<GraphState> states;
  ValueId output = 0;
  std::string output_name;
  int64_t parameter_count = 0;  // Trained numbers in the file, for descriptions.
};

// An input feature that must be a whole number from 0 to size - 1.
struct IndexFeature {
  int64_t feature = 0;  // In the row of all inputs.
  int64_t size = 0;

  bool operator==(const IndexFeature&) const = default;
};

// What a checked graph is, seen from outside.
struct GraphShape {
  std::vector<int64_t> widths;  // Of every value.
  int64_t input_size = 0;       // Of all inputs together.
  int64_t output_size = 0;
  int64_t state_size = 0;      // Floats of all states of a batch row.
  int64_t cells_per_step = 0;  // GRU cells (layers * directions) that one step evaluates.
  std::vector<IndexFeature> index_features;
  // Empty where the graph can step; else which node forbids it and why: `node "gru": a
  // bidirectional GRU needs the whole sequence`.
  std::string not_steppable;
};

// Checks all of the above but the GRUs' own weights (Model::Create does). InvalidArgument,
// naming the node, what came and what was wanted.
absl::StatusOr<GraphShape> CheckGraph(const Graph& graph);

// The widths of all values of a graph that may be unfinished: no GRU yet, or states that
// no node owns; or of a CellNode's body. InvalidArgument as CheckGraph.
absl::StatusOr<std::vector<int64_t>> ValueWidths(const Graph& graph);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_GRAPH_H_

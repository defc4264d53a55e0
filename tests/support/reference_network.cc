#include "tests/support/reference_network.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace gruserve {
namespace {

using Row = std::vector<double>;

size_t Size(int64_t value) { return static_cast<size_t>(value); }

double Apply(const UnaryNode& op, double x) {
  const double a = double{op.alpha};
  const double b = double{op.beta};
  switch (op.function) {
    case UnaryFunction::kAbs:
      return std::abs(x);
    case UnaryFunction::kClip:
      return std::min(std::max(x, a), b);
    case UnaryFunction::kElu:
      return x > 0 ? x : a * std::expm1(x);
    case UnaryFunction::kErf:
      return std::erf(x);
    case UnaryFunction::kExp:
      return std::exp(x);
    case UnaryFunction::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case UnaryFunction::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case UnaryFunction::kHardSigmoid:
      return std::min(std::max(a * x + b, 0.0), 1.0);
    case UnaryFunction::kLeakyRelu:
      return x > 0 ? x : a * x;
    case UnaryFunction::kLinear:
      return a * x + b;
    case UnaryFunction::kLog:
      return std::log(x);
    case UnaryFunction::kPow:
      return a * std::pow(x, b);
    case UnaryFunction::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryFunction::kSoftplus:
      return std::log1p(std::exp(x));
    case UnaryFunction::kSqrt:
      return std::sqrt(x);
    case UnaryFunction::kSquare:
      return x * x;
    case UnaryFunction::kSwish:
      return x / (1 + std::exp(-a * x));
    case UnaryFunction::kTanh:
      return std::tanh(x);
  }
  return NAN;
}

double Apply(BinaryFunction function, double x, double y) {
  switch (function) {
    case BinaryFunction::kAdd:
      return x + y;
    case BinaryFunction::kSub:
      return x - y;
    case BinaryFunction::kMul:
      return x * y;
    case BinaryFunction::kDiv:
      return x / y;
    case BinaryFunction::kMin:
      return std::min(x, y);
    case BinaryFunction::kMax:
      return std::max(x, y);
  }
  return NAN;
}

double Mean(const Row& row) {
  double sum = 0;
  for (const double x : row) sum += x;
  return sum / static_cast<double>(row.size());
}

// One row of a row op.
struct RowOpOf {
  std::vector<const Row*> in;

  Row operator()(const DenseNode& op) const {
    const Row& x = *in[0];
    Row y(Size(op.output_width));
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] = op.bias.empty() ? 0 : double{op.bias[o]};
      for (size_t i = 0; i < x.size(); ++i) y[o] += double{op.weight[o * x.size() + i]} * x[i];
    }
    return y;
  }
  Row operator()(const UnaryNode& op) const {
    Row y = *in[0];
    for (double& each : y) each = Apply(op, each);
    return y;
  }
  Row operator()(const BinaryNode& op) const {
    const Row constant(op.constant.begin(), op.constant.end());
    const Row* first = in[0];
    const Row* second = constant.empty() ? in[1] : &constant;
    if (op.constant_first) std::swap(first, second);
    Row y(std::max(first->size(), second->size()));
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = Apply(op.function, (*first)[i % first->size()], (*second)[i % second->size()]);
    return y;
  }
  Row operator()(const LayerNormNode& op) const {
    Row y = *in[0];
    const double mean = Mean(y);
    Row squares;
    for (const double x : y) squares.push_back((x - mean) * (x - mean));
    const double deviation = std::sqrt(Mean(squares) + double{op.epsilon});
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] = (y[i] - mean) / deviation * (op.scale.empty() ? 1 : double{op.scale[i]}) +
             (op.shift.empty() ? 0 : double{op.shift[i]});
    }
    return y;
  }
  Row operator()(const SoftmaxNode& op) const {
    Row y = *in[0];
    double sum = 0;
    for (const double x : y) sum += std::exp(x);
    for (double& each : y) each = op.log ? each - std::log(sum) : std::exp(each) / sum;
    return y;
  }
  Row operator()(const ReduceNode& op) const {
    const Row& x = *in[0];
    switch (op.function) {
      case ReduceFunction::kMean:
        return {Mean(x)};
      case ReduceFunction::kSum:
        return {Mean(x) * static_cast<double>(x.size())};
      case ReduceFunction::kMax:
        return {*std::max_element(x.begin(), x.end())};
      case ReduceFunction::kMin:
        return {*std::min_element(x.begin(), x.end())};
    }
    return {};
  }
  Row operator()(const ConcatNode&) const {
    Row y;
    for (const Row* row : in) y.insert(y.end(), row->begin(), row->end());
    return y;
  }
  Row operator()(const SliceNode& op) const {
    return {in[0]->begin() + op.begin, in[0]->begin() + op.begin + op.width};
  }
  Row operator()(const EmbeddingNode& op) const {
    const auto row = op.table.begin() + static_cast<int64_t>((*in[0])[0]) * op.width;
    return {row, row + op.width};
  }
  Row operator()(const OneHotNode& op) const {
    Row y(Size(op.depth));
    y[static_cast<size_t>((*in[0])[0])] = 1;
    return y;
  }
  template <typename Recurrent>
  Row operator()(const Recurrent&) const {
    return {};
  }
};

Row RunBody(const Graph& body, const Row& x, const Row& h) {
  std::vector<Row> values = {x, h};
  for (const GraphNode& node : body.nodes) {
    RowOpOf row_op;
    for (const ValueId input : node.inputs) row_op.in.push_back(&values[Size(input)]);
    values.push_back(std::visit(row_op, node.op));
  }
  return values[Size(body.output)];
}

// All values of one batch row: [value][time].
class RowWalk {
 public:
  RowWalk(const GraphBuilder& network, int64_t length) : network_(network), length_(length) {}

  std::vector<std::vector<Row>> values;
  Row state;

  void Run() {
    for (const GraphNode& node : network_.graph.nodes) {
      const std::vector<Row>& x = values[Size(node.inputs[0])];
      std::vector<Row> y(Size(length_));
      if (const auto* const gru = std::get_if<GruNode>(&node.op)) {
        y = RunGru(network_.grus.at(static_cast<ValueId>(values.size())), x,
                   Offset(gru->state, gru->first_block));
      } else if (const auto* const cell = std::get_if<CellNode>(&node.op)) {
        const auto h = state.begin() + Offset(cell->state, cell->block);
        for (size_t t = 0; t < y.size(); ++t) {
          y[t] = RunBody(*cell->body, x[t], {h, h + network_.graph.states[Size(cell->state)].hidden_size});
          std::copy(y[t].begin(), y[t].end(), h);
        }
      } else if (std::holds_alternative<ReverseTimeNode>(node.op)) {
        y.assign(x.rbegin(), x.rend());
      } else {
        for (size_t t = 0; t < y.size(); ++t) {
          RowOpOf row_op;
          for (const ValueId input : node.inputs) row_op.in.push_back(&values[Size(input)][t]);
          y[t] = std::visit(row_op, node.op);
        }
      }
      values.push_back(std::move(y));
    }
  }

 private:
  int64_t Offset(int64_t index, int64_t block) const {
    int64_t offset = 0;
    for (int64_t before = 0; before < index; ++before) {
      const GraphState& each = network_.graph.states[Size(before)];
      offset += each.blocks * each.hidden_size;
    }
    return offset + block * network_.graph.states[Size(index)].hidden_size;
  }

  std::vector<Row> RunGru(const RandomGruNetwork& gru, const std::vector<Row>& x, int64_t offset) {
    std::vector<float> input;
    for (const Row& row : x) {
      for (const double value : row) input.push_back(static_cast<float>(value));
    }
    const auto first = state.begin() + offset;
    std::vector<float> h_0;
    for (auto h = first; h != first + gru.config.state_size(); ++h) h_0.push_back(static_cast<float>(*h));
    const ReferenceResult result = ReferenceGru(gru, length_, 1, input, h_0);
    std::copy(result.h_n.begin(), result.h_n.end(), first);
    std::vector<Row> y;
    for (int64_t t = 0; t < length_; ++t) {
      const auto row = result.output.begin() + t * gru.config.output_size();
      y.emplace_back(row, row + gru.config.output_size());
    }
    return y;
  }

  const GraphBuilder& network_;
  const int64_t length_;
};

}  // namespace

ValueId GraphBuilder::Input(const std::string& name, int64_t width) {
  graph.inputs.push_back({name, width});
  return static_cast<ValueId>(graph.inputs.size()) - 1;
}

ValueId GraphBuilder::Add(const std::string& name, GraphOp op, std::vector<ValueId> inputs) {
  graph.nodes.push_back({.name = name, .op = std::move(op), .inputs = std::move(inputs)});
  graph.output = static_cast<ValueId>(graph.inputs.size() + graph.nodes.size()) - 1;
  return graph.output;
}

ValueId GraphBuilder::Gru(const std::string& name, ValueId input, GruConfig config) {
  config.input_size = width(input);
  RandomGruNetwork gru = RandomGru(static_cast<uint32_t>(random_()), config);
  graph.states.push_back({.name = name,
                          .blocks = config.state_blocks(),
                          .hidden_size = config.hidden_size,
                          .module_kind = config.module_kind});
  const ValueId value = Add(
      name,
      GruNode{
          .network = gru.network(), .state = static_cast<int64_t>(graph.states.size()) - 1, .first_block = 0},
      {input});
  grus[value] = std::move(gru);
  return value;
}

ValueId GraphBuilder::ReluCell(const std::string& name, ValueId input, int64_t hidden_size) {
  const float bound = 0.8F / std::sqrt(static_cast<float>(hidden_size));
  auto body = std::make_unique<Graph>();
  body->inputs = {{"x", width(input)}, {"h", hidden_size}};
  const auto dense = [&](ValueId from, int64_t features) {
    body->nodes.push_back({.name = "dense",
                           .op = DenseNode{.output_width = hidden_size,
                                           .weight = Random(hidden_size * features, bound),
                                           .bias = Random(hidden_size, bound)},
                           .inputs = {from}});
  };
  dense(0, width(input));
  dense(1, hidden_size);
  body->nodes.push_back({.name = "sum", .op = BinaryNode{}, .inputs = {2, 3}});
  body->nodes.push_back(
      {.name = "relu", .op = UnaryNode{.function = UnaryFunction::kLeakyRelu}, .inputs = {4}});
  body->nodes.push_back({.name = "clip",
                         .op = UnaryNode{.function = UnaryFunction::kClip, .alpha = -1, .beta = 1},
                         .inputs = {5}});
  body->output = 6;
  graph.states.push_back({.name = name, .blocks = 1, .hidden_size = hidden_size});
  return Add(name, CellNode{.body = std::move(body), .state = static_cast<int64_t>(graph.states.size()) - 1},
             {input});
}

ValueId GraphBuilder::Linear(const std::string& name, ValueId input, int64_t output_width) {
  const int64_t features = width(input);
  const float bound = 1 / std::sqrt(static_cast<float>(features));
  return Add(name,
             DenseNode{.output_width = output_width,
                       .weight = Random(output_width * features, bound),
                       .bias = Random(output_width, bound)},
             {input});
}

ValueId GraphBuilder::LayerNorm(const std::string& name, ValueId input) {
  const int64_t features = width(input);
  return Add(name, LayerNormNode{.scale = Random(features), .shift = Random(features)}, {input});
}

ValueId GraphBuilder::Embedding(const std::string& name, ValueId input, int64_t rows, int64_t features) {
  return Add(name, EmbeddingNode{.rows = rows, .width = features, .table = Random(rows * features)}, {input});
}

ValueId GraphBuilder::Unary(const std::string& name, ValueId input, UnaryFunction function, float alpha,
                            float beta) {
  return Add(name, UnaryNode{.function = function, .alpha = alpha, .beta = beta}, {input});
}

ReferenceAnswer ReferenceNetwork(const GraphBuilder& network, int64_t time_steps, int64_t batch_size,
                                 const std::vector<float>& input, const std::vector<float>& states,
                                 const std::vector<int64_t>& lengths) {
  const GraphShape shape = CheckGraph(network.graph).value();
  ReferenceAnswer answer;
  answer.output.resize(Size(time_steps * batch_size * shape.output_size));
  for (int64_t b = 0; b < batch_size; ++b) {
    const int64_t length = lengths.empty() ? time_steps : lengths[Size(b)];
    RowWalk walk(network, length);
    int64_t offset = 0;
    for (const GraphInput& each : network.graph.inputs) {
      std::vector<Row>& rows = walk.values.emplace_back();
      for (int64_t t = 0; t < length; ++t) {
        const auto first = input.begin() + (t * batch_size + b) * shape.input_size + offset;
        rows.emplace_back(first, first + each.width);
      }
      offset += each.width;
    }
    walk.state.resize(Size(shape.state_size));
    if (!states.empty())
      std::copy_n(states.begin() + b * shape.state_size, shape.state_size, walk.state.begin());
    walk.Run();
    answer.states.insert(answer.states.end(), walk.state.begin(), walk.state.end());
    for (int64_t t = 0; t < length; ++t) {
      const Row& row = walk.values[Size(network.graph.output)][Size(t)];
      std::copy(row.begin(), row.end(), answer.output.begin() + (t * batch_size + b) * shape.output_size);
    }
  }
  return answer;
}

}  // namespace gruserve

#include "core/network/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

GruNode Gru(int64_t input_size, int64_t hidden_size, int64_t directions = 1) {
  return {.network = {.config = {.input_size = input_size,
                                 .hidden_size = hidden_size,
                                 .num_layers = 2,
                                 .num_directions = directions}}};
}

DenseNode Dense(int64_t input_width, int64_t output_width) {
  return {.output_width = output_width,
          .weight = std::vector<float>(static_cast<size_t>(input_width * output_width), 0.5F)};
}

void Add(Graph& graph, const std::string& name, GraphOp op, std::vector<ValueId> inputs) {
  graph.nodes.push_back({.name = name, .op = std::move(op), .inputs = std::move(inputs)});
  graph.output = static_cast<ValueId>(graph.inputs.size() + graph.nodes.size()) - 1;
}

// Two inputs of 3 and 1 features; the second is the index of an embedding; a GRU of 2 layers.
Graph Small(int64_t directions = 1) {
  Graph graph;
  graph.inputs = {{"x", 3}, {"word", 1}};
  graph.states = {{.name = "gru", .blocks = 2 * directions, .hidden_size = 4}};
  Add(graph, "embed", EmbeddingNode{.rows = 5, .width = 2, .table = std::vector<float>(10)}, {1});
  Add(graph, "both", ConcatNode{}, {0, 2});
  Add(graph, "gru", Gru(5, 4, directions), {3});
  Add(graph, "fc", Dense(4 * directions, 2), {4});
  return graph;
}

TEST(GraphTest, SaysWhatTheGraphIs) {
  const auto shape = CheckGraph(Small());
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_THAT(shape->widths, ElementsAre(3, 1, 2, 5, 4, 2));
  EXPECT_EQ(shape->input_size, 4);
  EXPECT_EQ(shape->output_size, 2);
  EXPECT_EQ(shape->state_size, 8);
  EXPECT_EQ(shape->cells_per_step, 2);
  ASSERT_EQ(shape->index_features.size(), 1U);
  EXPECT_EQ(shape->index_features[0].feature, 3);
  EXPECT_EQ(shape->index_features[0].size, 5);
  EXPECT_EQ(shape->not_steppable, "");
}

TEST(GraphTest, NamesTheNodeThatForbidsSteps) {
  EXPECT_EQ(CheckGraph(Small(2))->not_steppable,
            "node \"gru\": a bidirectional GRU needs the whole sequence");
  Graph graph = Small();
  Add(graph, "back", ReverseTimeNode{}, {graph.output});
  EXPECT_EQ(CheckGraph(graph)->not_steppable, "node \"back\": a reversed direction needs the whole sequence");
}

TEST(GraphTest, TakesACellWithABodyOfRowOps) {
  Graph graph;
  graph.inputs = {{"x", 4}};
  graph.states = {{.name = "h", .blocks = 1, .hidden_size = 4}};
  auto body = std::make_unique<Graph>();
  body->inputs = {{"x", 4}, {"h", 4}};
  Add(*body, "sum", BinaryNode{}, {0, 1});
  Add(graph, "cell", CellNode{.body = std::move(body)}, {0});
  const auto shape = CheckGraph(graph);
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->cells_per_step, 1);
}

struct BadGraph {
  const char* name;
  void (*spoil)(Graph& graph);
  const char* message;
};

class BadGraphTest : public testing::TestWithParam<BadGraph> {};

TEST_P(BadGraphTest, IsRefusedByName) {
  Graph graph = Small();
  GetParam().spoil(graph);
  const auto shape = CheckGraph(graph);
  EXPECT_THAT(shape.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

template <typename Op>
Op& As(Graph& graph, size_t node) {
  return std::get<Op>(graph.nodes[node].op);
}

INSTANTIATE_TEST_SUITE_P(
    Graphs, BadGraphTest,
    testing::Values(
        BadGraph{"NoInput", [](Graph& g) { g.inputs.clear(); }, "no input"},
        BadGraph{"WideInput", [](Graph& g) { g.inputs[0].width = int64_t{1} << 40; },
                 "input \"x\": width is 1099511627776, expected 1 to 1048576"},
        BadGraph{"NoState", [](Graph& g) { g.states.clear(); },
                 "node \"gru\": has state 0, the network has 0"},
        BadGraph{"NameTwice", [](Graph& g) { g.states.push_back({.name = "gru", .hidden_size = 1}); },
                 "state \"gru\": the name comes twice"},
        BadGraph{"UnownedState", [](Graph& g) { g.states.push_back({.name = "b", .hidden_size = 1}); },
                 "state \"b\" has 1 blocks, 0 of them belong to a node, expected all"},
        BadGraph{"OtherHiddenSize", [](Graph& g) { g.states[0].hidden_size = 7; },
                 "has hidden_size 4, its state \"gru\" has 7"},
        BadGraph{"BlocksOutside", [](Graph& g) { As<GruNode>(g, 2).first_block = 1; },
                 "has blocks 1 to 2 of state \"gru\", which has 2"},
        BadGraph{"Initial", [](Graph& g) { g.states[0].initial = {1}; },
                 "state \"gru\": initial has 1 values, expected 8"},
        BadGraph{"LaterValue", [](Graph& g) { g.nodes[0].inputs = {4}; },
                 "node \"embed\": its input is value 4, expected 0 to 1"},
        BadGraph{"TooManyInputs",
                 [](Graph& g) {
                   g.nodes[3].inputs = {4, 4};
                 },
                 "node \"fc\": has 2 inputs, expected 1"},
        BadGraph{"WeightSize", [](Graph& g) { As<DenseNode>(g, 3).weight.pop_back(); },
                 "node \"fc\": weight has 7 values, expected 8"},
        BadGraph{"WeightNaN",
                 [](Graph& g) { As<DenseNode>(g, 3).weight[1] = std::numeric_limits<float>::quiet_NaN(); },
                 "weight holds nan"},
        BadGraph{"GruInput", [](Graph& g) { As<GruNode>(g, 2).network.config.input_size = 6; },
                 "node \"gru\": its input has 5 features, expected 6"},
        BadGraph{"WideIndex", [](Graph& g) { g.nodes[0].inputs = {0}; },
                 "node \"embed\": its input has 3 features, expected 1: the index"},
        BadGraph{"ComputedIndex",
                 [](Graph& g) {
                   g.nodes[0].op = ReduceNode{};
                   g.nodes[1].op = OneHotNode{.depth = 5};
                   g.nodes[1].inputs = {2};
                 },
                 "node \"both\": its index is computed by node \"embed\""},
        BadGraph{"SliceOutside", [](Graph& g) { g.nodes[3].op = SliceNode{.begin = 3, .width = 2}; },
                 "node \"fc\": takes 2 features from 3 on, its input has 4"},
        BadGraph{"BinaryWidths",
                 [](Graph& g) {
                   g.nodes[3].op = BinaryNode{};
                   g.nodes[3].inputs = {0, 4};
                 },
                 "its inputs have 3 and 4 features"},
        BadGraph{"NoBody", [](Graph& g) { g.nodes[3].op = CellNode{}; }, "node \"fc\": has no body"},
        BadGraph{"BlockTwice", [](Graph& g) { Add(g, "again", Gru(4, 4), {4}); },
                 "node \"again\": has block 0 of state \"gru\", which another node has"},
        BadGraph{"Output", [](Graph& g) { g.output = 6; }, "output is value 6, expected 0 to 5"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gruserve

#include "core/network/import/pipeline_importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/network/network.h"
#include "core/network/network_replica.h"
#include "tests/support/model_builder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

using Tensors = std::map<std::string, RawTensorEntry>;

RawTensorEntry Floats(std::vector<int64_t> shape, const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return {"F32", std::move(shape), std::move(bytes)};
}

// A wave that fills the shape.
RawTensorEntry Wave(std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(0.5F * std::sin(0.7F * static_cast<float>(i + 1)));
  return Floats(std::move(shape), values);
}

// Embedding of 7 words in 4 numbers, a GRU 4-3 of two layers, a Linear 3-2.
Tensors Words() {
  Tensors tensors = StateDict(RandomGru(1, {.input_size = 4, .hidden_size = 3, .num_layers = 2}), "gru.");
  tensors["embed.weight"] = Wave({7, 4});
  tensors["fc.weight"] = Wave({2, 3});
  tensors["fc.bias"] = Wave({2});
  return tensors;
}

constexpr const char* kWords = R"({"modules": [
    {"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru."},
    {"type": "Linear", "prefix": "fc"}]})";

absl::StatusOr<Graph> Import(const std::string& config, const Tensors& tensors) {
  const absl::StatusOr<ModelConfig> read = ParseModelConfig(config);
  if (!read.ok()) return read.status();
  return ImportPipeline(*read, SafetensorsFile::Parse(SafetensorsBytes(tensors)).value());
}

// One step from zeros of the imported network.
std::vector<float> Step(const std::string& config, const Tensors& tensors, const std::vector<float>& input) {
  absl::StatusOr<Graph> graph = Import(config, tensors);
  EXPECT_TRUE(graph.ok()) << graph.status();
  const auto network = Network::Create(*std::move(graph)).value();
  std::vector<float> state(static_cast<size_t>(network->state_size()));
  std::vector<float> output(static_cast<size_t>(network->output_size()));
  const StepRow row{input.data(), state.data(), output.data()};
  EXPECT_TRUE(NetworkReplica::Create(network).value()->RunSteps({&row, 1}).ok());
  return output;
}

// A GRUCell 1-1 that answers nothing but 0, so that what stands beside it shows.
Tensors ZeroCell() {
  return {{"zero.weight_ih", Floats({3, 1}, {0, 0, 0})}, {"zero.weight_hh", Floats({3, 1}, {0, 0, 0})}};
}

// Modules between two inputs a (2 features) and b (1), with a GRU somewhere aside.
std::string Beside(const std::string& modules, const std::string& output) {
  return R"({"inputs": [{"name": "a", "size": 2}, {"name": "b", "size": 1}],
             "modules": [{"type": "GRUCell", "prefix": "zero", "inputs": ["b"]}, )" +
         modules + R"(], "output": ")" + output + R"("})";
}

TEST(PipelineImporterTest, ReadsModulesInARow) {
  const auto graph = Import(kWords, Words());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->inputs[0].name, "input");
  EXPECT_EQ(graph->inputs[0].width, 1);
  EXPECT_EQ(graph->output_name, "fc");
  ASSERT_EQ(graph->states.size(), 1U);
  EXPECT_EQ(graph->states[0].name, "gru");
  EXPECT_EQ(graph->states[0].blocks, 2);
  EXPECT_EQ(graph->parameter_count, 7 * 4 + (9 * 7 + 18) + (9 * 6 + 18) + 2 * 3 + 2);
  const auto shape = CheckGraph(*graph);
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->output_size, 2);
  EXPECT_EQ(shape->index_features.at(0).size, 7);
}

TEST(PipelineImporterTest, AffineTakesTheMeanAwayBeforeItScales) {
  // A mean so large that scaling first would lose what is left without it.
  EXPECT_THAT(
      Step(Beside(
               R"({"type": "Affine", "name": "n", "inputs": ["a"], "mean": [101325, 2], "scale": [8, 0.5]})",
               "n"),
           ZeroCell(), {101326, 3, 0}),
      ElementsAre(0.125F, 2));
  EXPECT_THAT(
      Step(Beside(
               R"({"type": "Affine", "name": "n", "inputs": ["a"], "mean": 10, "scale": 2, "inverse": true})",
               "n"),
           ZeroCell(), {3, -1, 0}),
      ElementsAre(16, 8));
  Tensors tensors = ZeroCell();
  tensors["m"] = Floats({2}, {1, 2});
  EXPECT_THAT(Step(Beside(R"({"type": "Affine", "name": "n", "inputs": ["a"], "mean": "m"})", "n"), tensors,
                   {1, 5, 0}),
              ElementsAre(0, 3));
}

TEST(PipelineImporterTest, ActivationsHavePyTorchsDefaults) {
  struct Case {
    const char* module;
    float at_minus_2;
    float at_1;
  };
  const Case cases[] = {
      {R"("type": "ReLU")", 0, 1},
      {R"("type": "LeakyReLU")", -0.02F, 1},
      {R"("type": "LeakyReLU", "negative_slope": 0.5)", -1, 1},
      {R"("type": "ELU")", std::expm1(-2.0F), 1},
      {R"("type": "Sigmoid")", 1 / (1 + std::exp(2.0F)), 1 / (1 + std::exp(-1.0F))},
      {R"("type": "Tanh")", std::tanh(-2.0F), std::tanh(1.0F)},
      {R"("type": "Hardsigmoid")", 1.0F / 6, 4.0F / 6},
      {R"("type": "Hardtanh")", -1, 1},
      {R"("type": "Hardtanh", "min_val": -3, "max_val": 0.5)", -2, 0.5F},
      {R"("type": "ReLU6")", 0, 1},
      {R"("type": "SiLU")", -2 / (1 + std::exp(2.0F)), 1 / (1 + std::exp(-1.0F))},
      {R"("type": "Softplus")", std::log1p(std::exp(-2.0F)), std::log1p(std::exp(1.0F))},
      {R"("type": "GELU")", -1 * (1 + std::erf(-std::sqrt(2.0F))), 0.5F * (1 + std::erf(std::sqrt(0.5F)))},
      {R"("type": "GELU", "approximate": "tanh")", -0.0454023F, 0.841192F},
      {R"("type": "Dropout", "p": 0.5)", -2, 1},
      {R"("type": "Identity")", -2, 1},
      {R"("type": "Softmax")", 1 / (1 + std::exp(3.0F)), 1 / (1 + std::exp(-3.0F))},
      {R"("type": "LogSoftmax")", -std::log1p(std::exp(3.0F)), -std::log1p(std::exp(-3.0F))},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.module);
    const std::string module = std::string("{") + each.module + R"(, "name": "n", "inputs": ["a"]})";
    EXPECT_THAT(Step(Beside(module, "n"), ZeroCell(), {-2, 1, 0}),
                ElementsAre(FloatNear(each.at_minus_2, 1e-6F), FloatNear(each.at_1, 1e-6F)));
  }
}

TEST(PipelineImporterTest, ArithmeticSlicesAndConcatenationsTakeNames) {
  const std::string two = R"({"type": "Slice", "name": "s", "inputs": ["a"], "begin": 1, "size": 1}, )";
  const auto run = [&](const std::string& type, const std::string& inputs) {
    return Step(Beside(two + R"({"type": ")" + type + R"(", "name": "n", "inputs": )" + inputs + "}", "n"),
                ZeroCell(), {3, 5, 2});
  };
  EXPECT_THAT(run("Add", R"(["s", "b"])"), ElementsAre(7));
  EXPECT_THAT(run("Sub", R"(["a", "b"])"), ElementsAre(1, 3));
  EXPECT_THAT(run("Mul", R"(["b", "a"])"), ElementsAre(6, 10));
  EXPECT_THAT(run("Div", R"(["b", "a"])"), ElementsAre(FloatNear(2.0F / 3, 1e-7F), FloatNear(0.4F, 1e-7F)));
  EXPECT_THAT(run("Concat", R"(["b", "a", "zero", "s"])"), ElementsAre(2, 3, 5, 0, 5));
}

TEST(PipelineImporterTest, NormsAreThoseOfPyTorch) {
  Tensors tensors = ZeroCell();
  tensors["bn.weight"] = Floats({2}, {2, 3});
  tensors["bn.bias"] = Floats({2}, {0.5F, -1});
  tensors["bn.running_mean"] = Floats({2}, {1, 2});
  tensors["bn.running_var"] = Floats({2}, {4, 0.25F});
  tensors["bn.num_batches_tracked"] = {"I64", {}, std::string(8, '\1')};
  EXPECT_THAT(
      Step(Beside(R"({"type": "BatchNorm1d", "name": "n", "prefix": "bn", "inputs": ["a"], "eps": 0})", "n"),
           tensors, {3, 3, 0}),
      ElementsAre(2.5F, 5));
  EXPECT_THAT(Step(Beside(R"({"type": "LayerNorm", "name": "n", "inputs": ["a"], "eps": 0})", "n"),
                   ZeroCell(), {1, 5, 0}),
              ElementsAre(FloatNear(-1, 1e-6F), FloatNear(1, 1e-6F)));
}

TEST(PipelineImporterTest, OneHotAndTheOtherCellKind) {
  EXPECT_THAT(Step(Beside(R"({"type": "OneHot", "name": "n", "inputs": ["b"], "size": 3})", "n"), ZeroCell(),
                   {0, 0, 2}),
              ElementsAre(0, 0, 1));
  const auto graph =
      Import(R"({"modules": [{"type": "GRU", "prefix": "gru", "linear_before_reset": false}]})",
             StateDict(RandomGru(1, {.input_size = 4, .hidden_size = 3}), "gru."));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(std::get<GruNode>(graph->nodes[0].op).network.config.cell_kind, CellKind::kResetBefore);
}

TEST(PipelineImporterTest, AStateMayBeginWithATensor) {
  Tensors tensors = Words();
  tensors["h0"] = Floats({2, 1, 3}, {1, 2, 3, 4, 5, 6});
  const auto graph = Import(R"({"modules": [
      {"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru", "initial_state": "h0"},
      {"type": "Linear", "prefix": "fc"}]})",
                            tensors);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(graph->states[0].initial, ElementsAre(1, 2, 3, 4, 5, 6));
}

struct BadPipeline {
  const char* name;
  const char* config;
  const char* message;
  void (*spoil)(Tensors& tensors) = [](Tensors&) {};
};

class BadPipelineTest : public testing::TestWithParam<BadPipeline> {};

TEST_P(BadPipelineTest, IsRefusedByName) {
  Tensors tensors = Words();
  GetParam().spoil(tensors);
  absl::StatusOr<Graph> graph = Import(GetParam().config, tensors);
  const absl::Status status = graph.ok() ? CheckGraph(*graph).status() : graph.status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

const BadPipeline kBadPipelines[] = {
    {"UnusedTensor",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru"}]})",
     "tensor fc.bias belongs to no module of model.json"},
    {"ForeignTensorOfAModule", kWords, "tensor fc.extra belongs to no module",
     [](Tensors& t) { t["fc.extra"] = Wave({1}); }},
    {"MissingTensor", kWords, R"(modules[2] (Linear "fc"): tensor fc.weight is missing)",
     [](Tensors& t) { t.erase("fc.weight"); }},
    {"MissingGru",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "rnn"}]})",
     R"(modules[1] (GRU "rnn"): tensor rnn.weight_ih_l0 (or rnn.weight_ih of a GRUCell) is missing)"},
    {"HalfADirection", kWords, R"(modules[1] (GRU "gru"): tensor bias_hh_l1 is missing)",
     [](Tensors& t) { t.erase("gru.bias_hh_l1"); }},
    {"AnLstm", kWords, "four gates are an LSTM",
     [](Tensors& t) {
       t["gru.weight_hh_l0"] = Wave({12, 3});
     }},
    {"AGruCellsType",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRUCell", "prefix": "gru"}]})",
     "its tensors are those of a GRU"},
    {"WrongLinearShape", kWords, "tensor fc.weight has the shape [2, 4], expected [2, 3]",
     [](Tensors& t) {
       t["fc.weight"] = Wave({2, 4});
     }},
    {"WrongLinearRank", kWords, "tensor fc.weight has 1 dimensions, expected 2",
     [](Tensors& t) { t["fc.weight"] = Wave({6}); }},
    {"WrongDtype", kWords, "tensor fc.bias has the dtype I32, expected F32, F16, BF16 or F64",
     [](Tensors& t) { t["fc.bias"].dtype = "I32"; }},
    {"WrongGruInput", kWords, "its tensors say input_size 4, its input has 5 features",
     [](Tensors& t) {
       t["embed.weight"] = Wave({7, 5});
     }},
    {"NaNWeight", kWords, "node \"fc\": weight holds nan",
     [](Tensors& t) {
       t["fc.weight"] = Floats({2, 3}, {0, 0, 0, NAN, 0, 0});
     }},
    {"EmptyEmbedding", kWords, "node \"embed\": rows is 0",
     [](Tensors& t) {
       t["embed.weight"] = Wave({0, 4});
     }},
    {"NoGruAtAll", R"({"modules": [{"type": "Tanh"}], "inputs": [{"name": "x", "size": 2}]})",
     "belongs to no module"},
    {"UnknownInput", R"({"modules": [{"type": "Embedding", "prefix": "embed"},
        {"type": "GRU", "prefix": "gru", "inputs": ["fc"]}, {"type": "Linear", "prefix": "fc"}]})",
     R"(modules[1] (GRU "gru"): inputs has "fc", which is the name of no input, and of no module before this one)"},
    {"NameTwice", R"({"modules": [{"type": "Embedding", "prefix": "embed", "name": "gru"},
        {"type": "GRU", "prefix": "gru"}]})",
     R"(modules[1]: the name "gru" is taken already)"},
    {"OutputUnknown",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru"},
        {"type": "Linear", "prefix": "fc"}], "output": "nope"})",
     R"(output is "nope", which is the name of no module)"},
    {"SizeUnknown", R"({"modules": [{"type": "Tanh"}]})",
     "inputs is missing, and modules[0], a Tanh, does not say how many features come in"},
    {"SeveralInputsUnnamed", R"({"inputs": [{"name": "a", "size": 1}, {"name": "b", "size": 1}],
        "modules": [{"type": "Embedding", "prefix": "embed"}]})",
     "inputs is missing, expected a name, since the model has several inputs"},
    {"InputTwice", R"({"inputs": [{"name": "a", "size": 1}, {"name": "a", "size": 1}],
        "modules": [{"type": "Tanh"}]})",
     R"(inputs has the name "a" twice)"},
    {"ConcatWithoutInputs", R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "Concat"}]})",
     "modules[1] (Concat): inputs is missing, expected names"},
    {"AddOfOne",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "Add", "inputs": ["embed"]}]})",
     "inputs has 1 names, expected 2"},
    {"LinearOfTwo", R"({"modules": [{"type": "Embedding", "prefix": "embed"},
        {"type": "Linear", "prefix": "fc", "inputs": ["embed", "embed"]}]})",
     "inputs has 2 names, expected 1"},
    {"ZeroScale", R"({"modules": [{"type": "Affine", "scale": [1, 0]}]})", "scale holds 0"},
    {"AffineSizes",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "Affine", "mean": [1, 2]}]})",
     "mean has 2 numbers, expected 1 or 4"},
    {"AffineTensor",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "Affine", "mean": "m"}]})",
     "tensor m is missing"},
    {"Gelu",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GELU", "approximate": "sin"}]})",
     R"(approximate is neither "none" nor "tanh")"},
    {"InitialStateShape", R"({"modules": [{"type": "Embedding", "prefix": "embed"},
        {"type": "GRU", "prefix": "gru", "initial_state": "fc.bias"}]})",
     "tensor fc.bias has the shape [2], expected [2, 3]"},
    {"EmbeddingOfWords",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru"},
        {"type": "Linear", "prefix": "fc"}, {"type": "Slice", "begin": 0, "size": 1}, {"type": "OneHot", "size": 3}]})",
     "its index is computed by node \"fc\""},
    {"SliceOutside",
     R"({"modules": [{"type": "Embedding", "prefix": "embed"}, {"type": "GRU", "prefix": "gru"},
        {"type": "Linear", "prefix": "fc"}, {"type": "Slice", "begin": 1, "size": 2}]})",
     "node \"modules[3]\": takes 2 features from 1 on, its input has 2"},
};

INSTANTIATE_TEST_SUITE_P(Pipelines, BadPipelineTest, testing::ValuesIn(kBadPipelines),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gruserve

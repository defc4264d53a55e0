// Files that must be refused, each with its message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/core/network/import/onnx/onnx_builder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;
using B = OnnxBuilder;

struct HostileFile {
  const char* name;
  void (*spoil)(B& b);  // Of a small sound model: x -> GRU "gru" -> y.
  const char* message;
};

void PrintTo(const HostileFile& file, std::ostream* out) { *out << file.name; }

onnx::TensorProto& Weights(B& b, int i) { return *b.graph().mutable_initializer(i); }
onnx::NodeProto& Gru(B& b) { return *b.graph().mutable_node(0); }
// A node after the GRU, which the output comes from.
onnx::NodeProto& After(B& b, const std::string& op, const std::vector<std::string>& more = {},
                       const std::string& input = "y") {
  std::vector<std::string> inputs = {input};
  inputs.insert(inputs.end(), more.begin(), more.end());
  b.graph().mutable_output(0)->set_name("z");
  onnx::NodeProto& node = b.Node(op, inputs, {"z"});
  node.set_name("after");
  return node;
}
void External(B& b, const std::string& location) {
  onnx::TensorProto& w = Weights(b, 0);
  w.clear_float_data();
  w.set_data_location(onnx::TensorProto::EXTERNAL);
  auto* const entry = w.add_external_data();
  entry->set_key("location");
  entry->set_value(location);
}

const HostileFile kFiles[] = {
    // What the reader refuses.
    {"NoIrVersion", [](B& b) { b.proto.clear_ir_version(); }, "onnx: ir_version is 0, expected 3 to 13"},
    {"NewIrVersion", [](B& b) { b.proto.set_ir_version(99); }, "onnx: ir_version is 99, expected 3 to 13"},
    {"NoOpset", [](B& b) { b.proto.clear_opset_import(); }, "onnx: opset is 0, expected 7 to 23"},
    {"NewOpset", [](B& b) { b.proto.mutable_opset_import(0)->set_version(1000); },
     "onnx: opset is 1000, expected 7 to 23"},
    {"NoGraph", [](B& b) { b.proto.clear_graph(); }, "onnx: has no graph"},
    {"Functions", [](B& b) { b.proto.add_functions()->set_name("f"); }, "onnx: has functions of its own"},
    {"SparseInitializer", [](B& b) { b.graph().add_sparse_initializer(); }, "onnx: has sparse initializers"},
    {"NamelessInitializer", [](B& b) { Weights(b, 0).clear_name(); }, "onnx: initializer \"\": has no name"},
    {"InitializerTwice", [](B& b) { b.Floats("W", {1}, {0}); }, "onnx: initializer \"W\": comes twice"},
    {"StringWeights", [](B& b) { Weights(b, 0).set_data_type(onnx::TensorProto::STRING); },
     "onnx: initializer \"W\": data_type is STRING, expected FLOAT"},
    {"UnknownType", [](B& b) { Weights(b, 0).set_data_type(12345); }, "data_type is type 12345"},
    {"NegativeDim", [](B& b) { Weights(b, 0).set_dims(1, -9); }, "shape [1, -9, 2] is negative or too large"},
    {"OverflowingDims",
     [](B& b) {
       Weights(b, 0).set_dims(0, int64_t{1} << 32);
       Weights(b, 0).set_dims(1, int64_t{1} << 32);
     },
     "shape [4294967296, 4294967296, 2] is negative or too large"},
    {"OverflowingBytes", [](B& b) { Weights(b, 0).set_dims(1, int64_t{1} << 60); },
     "is negative or too large"},
    {"EmptyDim", [](B& b) { Weights(b, 0).set_dims(1, 0); }, "shape [1, 0, 2] holds nothing"},
    {"TooManyNumbers", [](B& b) { Weights(b, 0).add_float_data(1); },
     "initializer \"W\": has 19 numbers, FLOAT of shape [1, 9, 2] needs 18"},
    {"TooFewNumbers", [](B& b) { Weights(b, 0).mutable_float_data()->RemoveLast(); }, "has 17 numbers"},
    {"WrongField", [](B& b) { Weights(b, 0).add_int64_data(1); }, "has 19 numbers"},
    {"ShortRawData",
     [](B& b) {
       Weights(b, 0).clear_float_data();
       Weights(b, 0).set_raw_data(std::string(71, 'a'));
     },
     "raw_data has 71 bytes, FLOAT of shape [1, 9, 2] needs 72"},
    {"RawAndTypedData", [](B& b) { Weights(b, 0).set_raw_data(std::string(72, 'a')); },
     "has raw_data and typed data"},
    {"Segment", [](B& b) { Weights(b, 0).mutable_segment(); }, "is in segments"},
    {"ManyAxes",
     [](B& b) {
       for (int i = 0; i < 20; ++i) Weights(b, 0).add_dims(1);
     },
     "has 23 axes, expected up to 16"},
    {"ExternalWithoutFolder", [](B& b) { External(b, "w.bin"); }, "has external data, expected none"},
    {"InputTwice", [](B& b) { b.Input("x", {1}); }, "onnx: input \"x\" comes twice"},
    {"InputOfStrings", [](B& b) { b.Input("s", {1}, onnx::TensorProto::STRING); },
     "input \"s\": elem_type is 8, expected FLOAT (1), INT32 or INT64"},
    {"InputWithoutType", [](B& b) { b.graph().mutable_input(0)->clear_type(); }, "input \"x\": is no tensor"},
    {"InputWithoutShape",
     [](B& b) { b.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape(); },
     "input \"x\": has no shape"},
    {"NoOutput", [](B& b) { b.graph().clear_output(); }, "onnx: the graph has no GRU"},
    {"UnknownOutput", [](B& b) { b.graph().mutable_output(0)->set_name("q"); },
     "onnx: output \"q\" is given by no node"},
    {"UnknownInput", [](B& b) { Gru(b).set_input(1, "nothing"); },
     "node \"gru\" (GRU): reads \"nothing\", which nothing before it gives"},
    {"Loop", [](B& b) { After(b, "Relu", {}, "z"); },
     "node \"after\" (Relu): reads \"z\", which nothing before it gives"},
    {"OutputTwice", [](B& b) { b.Node("Relu", {"y"}, {"y"}); }, "gives \"y\", which is there already"},
    {"NodeWithoutOutput", [](B& b) { Gru(b).clear_output(); }, "node \"gru\" (GRU): has no output"},
    {"AttributeTwice", [](B& b) { B::Set(Gru(b), "linear_before_reset", int64_t{1}); },
     "attribute \"linear_before_reset\" comes twice"},
    {"AttributeOfAnotherType", [](B& b) { B::Set(Gru(b), "hidden_size", 3.0F); },
     "attribute hidden_size is of type FLOAT, expected another"},
    // What the importer refuses: GRUs.
    {"NoGru", [](B& b) { Gru(b).set_op_type("Relu"); }, "onnx: the graph has no GRU, expected at least one"},
    {"UnknownOperator", [](B& b) { Gru(b).set_op_type("Conv"); },
     "onnx: node \"gru\" (Conv): the operator is not supported"},
    {"OtherDomain", [](B& b) { Gru(b).set_domain("com.microsoft"); },
     "is an operator of the domain \"com.microsoft\""},
    {"Lstm", [](B& b) { After(b, "LSTM"); }, "node \"after\" (LSTM): the operator is not supported"},
    {"Direction", [](B& b) { B::Set(Gru(b), "direction", std::string("sideways")); },
     "direction is not one of forward, reverse, bidirectional"},
    {"Activation",
     [](B& b) {
       B::Set(Gru(b), "activations", std::vector<std::string>{"Sigmoid", "Swish"});
     },
     "has an activation that is not one of Affine"},
    {"ThreeActivations", [](B& b) { B::Set(Gru(b), "activations", std::vector<std::string>(3, "Tanh")); },
     "has 3 activations, expected 2"},
    {"NegativeClip", [](B& b) { B::Set(Gru(b), "clip", -1.0F); }, "clip is -1, expected more than 0"},
    {"HiddenSize", [](B& b) { B::Set(Gru(b), "hidden_size", int64_t{4}); }, "hidden_size is 4, R has 3"},
    {"WeightsOfAnotherShape", [](B& b) { Weights(b, 0).set_dims(0, 2), Weights(b, 0).set_dims(2, 1); },
     "W is [2, 9, 1], expected floats of [1, 9, 2]"},
    {"ShortBias",
     [](B& b) {
       Weights(b, 2).set_dims(1, 17);
       Weights(b, 2).mutable_float_data()->RemoveLast();
     },
     "B is [1, 17], expected floats of [1, 18]"},
    {"NoWeights", [](B& b) { Gru(b).set_input(1, ""); }, "W is left out, expected a constant"},
    {"WeightsFromACall",
     [](B& b) {
       b.Input("w", {1, 9, 2});
       Gru(b).set_input(1, "w");
     },
     "W is computed in each call, expected a constant"},
    {"ConstantLengths",
     [](B& b) {
       b.Ints("lens", {1});
       Gru(b).add_input("lens");
     },
     "sequence_lens is computed or a constant, expected an input"},
    {"NonFiniteWeights",
     [](B& b) {
       After(b, "MatMul", {"m"}), b.Floats("m", {3, 1}, {0, 1, std::numeric_limits<float>::infinity()});
     },
     "node \"after\": weight holds inf, expected finite values"},
    {"StatesThatDiffer",
     [](B& b) {
       b.Random("h", {1, 2, 3});
       Gru(b).add_input("");
       Gru(b).add_input("h");
     },
     "initial_h is a constant that differs between batch rows"},
    {"PyTorchWithoutReset",
     [](B& b) {
       b.proto.set_producer_name("pytorch");
       Gru(b).mutable_attribute(0)->set_i(0);
     },
     "node \"gru\" (GRU): linear_before_reset is 0 in a file of PyTorch's"},
    // What mixes time steps or batch rows, and what has no answer.
    {"SoftmaxOverTime", [](B& b) { B::Set(After(b, "Softmax"), "axis", int64_t{0}); },
     "node \"after\" (Softmax): works along axis 0 of [time, 1, batch, 3], which mixes time steps"},
    {"MeanOverBatch", [](B& b) { B::Set(After(b, "ReduceMean"), "axes", std::vector<int64_t>{2}); },
     "node \"after\" (ReduceMean): works along axis 2 of [time, 1, batch, 3], which mixes batch rows"},
    {"ReshapeAcrossTime",
     [](B& b) {
       After(b, "Reshape", {"s"}), b.Ints("s", {-1, 3});
     },
     "node \"after\" (Reshape): makes"},
    {"SliceOfTime",
     [](B& b) {
       After(b, "Slice", {"one", "two"}), b.Ints("one", {1}), b.Ints("two", {2});
     },
     "node \"after\" (Slice): takes a part of the time axis"},
    {"ConcatOfTime", [](B& b) { B::Set(After(b, "Concat", {"y"}), "axis", int64_t{0}); },
     "node \"after\" (Concat): joins values along the time axis"},
    {"TransposedGemm",
     [](B& b) {
       B::Set(After(b, "Gemm", {"m"}), "transA", int64_t{1}), b.Random("m", {3, 1});
     },
     "transA is not 0"},
    {"MatMulOfAnotherSize",
     [](B& b) {
       After(b, "MatMul", {"m"}), b.Random("m", {4, 1});
     },
     "node \"after\" (MatMul): multiplies [time, 1, batch, 3] by a matrix of 4 rows"},
    {"AddOfAnotherShape", [](B& b) { After(b, "Add", {"c"}), b.Random("c", {4}); },
     "which do not go together"},
    {"HugeExpand",
     [](B& b) {
       After(b, "Expand", {"s"}), b.Ints("s", {1 << 20, 1 << 20, 1, 1, 1, 3});
     },
     "node \"after\" (Expand): gives the shape"},
    {"HugeConstant",
     [](B& b) {
       b.Ints("s", {1 << 30, 1 << 30});
       b.Node("ConstantOfShape", {"s"}, {"c"}).set_name("fill");
       After(b, "Add", {"c"});
     },
     "node \"fill\" (ConstantOfShape): gives the shape [1073741824, 1073741824]"},
    {"NegativeConstant",
     [](B& b) {
       b.Ints("s", {-5});
       b.Node("ConstantOfShape", {"s"}, {"c"}).set_name("fill");
       After(b, "Add", {"c"});
     },
     "node \"fill\" (ConstantOfShape): shape is [-5]"},
    {"DivisionByZero",
     [](B& b) {
       b.Ints("zero", {0});
       b.Node("Div", {"zero", "zero"}, {"c"}).set_name("div");
       After(b, "Reshape", {"c"});
     },
     "node \"div\" (Div): computes with [0, 0], which has no answer before a call"},
    {"GatherBeyond", [](B& b) { B::Set(After(b, "Gather", {"i"}), "axis", int64_t{3}), b.Ints("i", {7}); },
     "node \"after\" (Gather): index is 7, axis 3 has 3 elements"},
    {"AxisBeyond", [](B& b) { B::Set(After(b, "Softmax"), "axis", int64_t{4}); },
     "axis is 4, its input has 4 axes"},
    {"PermTwice",
     [](B& b) {
       B::Set(After(b, "Transpose"), "perm", std::vector<int64_t>{0, 0, 1, 2});
     },
     "perm is [0, 0, 1, 2], its input has 4 axes"},
    {"SplitOfMore", [](B& b) { B::Set(After(b, "Split", {"s"}), "axis", int64_t{3}), b.Ints("s", {4}); },
     "splits 3 elements into [4] for 1 outputs"},
    {"TrainingMode",
     [](B& b) {
       for (const char* name : {"s", "t", "m", "v"}) b.Random(name, {3});
       B::Set(After(b, "BatchNormalization", {"s", "t", "m", "v"}), "training_mode", int64_t{1});
     },
     "node \"after\" (BatchNormalization): is in training mode"},
    {"ComputedIndex",
     [](B& b) {
       b.Random("table", {4, 2});
       b.Random("m", {3, 1});
       b.Node("MatMul", {"y", "m"}, {"f"});
       B::Set(b.Node("Cast", {"f"}, {"i"}), "to", int64_t{7});
       b.graph().mutable_output(0)->set_name("z");
       b.Node("Gather", {"table", "i"}, {"z"}).set_name("after");
     },
     "node \"after\": its index is computed by node"},
};

class HostileOnnxTest : public testing::TestWithParam<HostileFile> {};

TEST_P(HostileOnnxTest, IsRefusedWithItsReason) {
  B builder;
  builder.SmallGru();
  builder.Output("y");
  ASSERT_TRUE(builder.Import().ok()) << builder.Import().status();
  GetParam().spoil(builder);
  EXPECT_THAT(builder.Import(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

std::string NameOf(const testing::TestParamInfo<HostileFile>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(All, HostileOnnxTest, testing::ValuesIn(kFiles), NameOf);

TEST(HostileOnnxTest, NoPrefixOfAFileIsTaken) {
  B builder;
  builder.SmallGru();
  builder.Output("y");
  const std::string whole = builder.proto.SerializeAsString();
  for (size_t size = 0; size < whole.size(); ++size) {
    const absl::StatusOr<OnnxModel> model = ParseOnnx(whole.substr(0, size), nullptr);
    EXPECT_FALSE(model.ok() && ImportOnnx(*model).ok()) << size;
  }
}

TEST(HostileOnnxTest, NamesAreMadePrintable) {
  B builder;
  builder.SmallGru();
  builder.Output("y");
  Gru(builder).set_name("a\nb\x01" + std::string(500, 'x'));
  Gru(builder).set_op_type("C\x1b[31m");
  EXPECT_THAT(std::string(builder.Import().status().message()),
              testing::AllOf(HasSubstr("node \"a\\nb\\x01xxx"), HasSubstr("...\" (C\\x1b[31m)")));
}

}  // namespace
}  // namespace gruserve

// GRUs in all their forms, against what others say they answer: ONNX's backend tests
// and ONNX Runtime's tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/network/import/onnx/onnx_tensor_reader.h"
#include "core/network/network_replica.h"
#include "tests/core/network/import/onnx/onnx_builder.h"

namespace gruserve {
namespace {

using nlohmann::json;

const std::filesystem::path kData = std::filesystem::path(GRUSERVE_SOURCE_DIR) / "tests/data";

struct Numbers {
  std::vector<int64_t> shape;
  std::vector<float> data;
};

struct GruCase {
  std::string name;
  onnx::ModelProto model;  // One GRU, its weights as initializers.
  std::map<std::string, Numbers> inputs;
  std::map<std::string, Numbers> outputs;
  bool batch_first = false;
  double tolerance = 1e-5;
};

void PrintTo(const GruCase& each, std::ostream* out) { *out << each.name; }

std::string Bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream bytes;
  bytes << stream.rdbuf();
  return bytes.str();
}

// Of ONNX Runtime's tables.
void SetAttribute(onnx::NodeProto& node, const std::string& name, const json& value) {
  if (value.is_string()) return OnnxBuilder::Set(node, name, value.get<std::string>());
  if (value.is_number_integer()) return OnnxBuilder::Set(node, name, value.get<int64_t>());
  if (value[0].is_string()) return OnnxBuilder::Set(node, name, value.get<std::vector<std::string>>());
  OnnxBuilder::Set(node, name, value.get<std::vector<float>>());
}

std::vector<GruCase> TableCases() {
  std::vector<GruCase> cases;
  const json file = json::parse(std::ifstream(kData / "ort_gru/cases.json"));
  for (const json& entry : file["cases"]) {
    GruCase each{.name = entry["name"].get<std::string>() + "_" + std::to_string(cases.size())};
    OnnxBuilder builder(14);
    for (const auto& [name, tensor] : entry["inputs"].items()) {
      each.inputs[name] = {tensor["shape"].get<std::vector<int64_t>>(),
                           tensor["data"].get<std::vector<float>>()};
      if (name == "W" || name == "R" || name == "B")
        builder.Floats(name, each.inputs[name].shape, each.inputs[name].data);
    }
    for (const auto& [name, tensor] : entry["outputs"].items())
      each.outputs[name] = {tensor["shape"].get<std::vector<int64_t>>(),
                            tensor["data"].get<std::vector<float>>()};
    std::vector<std::string> inputs = {"X", "W", "R"};
    builder.Input("X", {-2, -1, each.inputs["X"].shape[2]});
    inputs.push_back(each.inputs.contains("B") ? "B" : "");
    if (each.inputs.contains("sequence_lens")) {
      builder.Input("sequence_lens", {-1}, onnx::TensorProto::INT32);
      builder.Input("initial_h", {each.inputs["initial_h"].shape[0], -1, each.inputs["initial_h"].shape[2]});
      inputs.insert(inputs.end(), {"sequence_lens", "initial_h"});
    }
    onnx::NodeProto& node = builder.Node("GRU", inputs, {"Y", "Y_h"});
    for (const auto& [name, value] : entry["attributes"].items()) SetAttribute(node, name, value);
    builder.Output("Y");
    builder.Output("Y_h");
    each.model = builder.proto;
    cases.push_back(std::move(each));
  }
  return cases;
}

Numbers FromTensor(const std::filesystem::path& path) {
  onnx::TensorProto proto;
  EXPECT_TRUE(proto.ParseFromString(Bytes(path))) << path;
  const OnnxTensorPtr tensor = ReadOnnxTensor("", proto, nullptr).value();
  return {tensor->shape, tensor->floats};
}

std::vector<GruCase> BackendCases() {
  std::vector<GruCase> cases;
  for (const char* name :
       {"test_gru_batchwise", "test_gru_defaults", "test_gru_seq_length", "test_gru_with_initial_bias"}) {
    const std::filesystem::path folder = kData / "onnx_backend" / name;
    GruCase each{.name = name};
    EXPECT_TRUE(each.model.ParseFromString(Bytes(folder / "model.onnx"))) << folder;
    onnx::GraphProto& graph = *each.model.mutable_graph();
    for (int i = 0; i < graph.input_size(); ++i) {
      const std::string& input = graph.input(i).name();
      const auto file = folder / ("input_" + std::to_string(i) + ".pb");
      each.inputs[input] = FromTensor(file);
      if (input == "X") continue;
      onnx::TensorProto& weights = *graph.add_initializer();
      EXPECT_TRUE(weights.ParseFromString(Bytes(file))) << file;
      weights.set_name(input);
    }
    for (int i = 0; i < graph.output_size(); ++i)
      each.outputs[graph.output(i).name()] = FromTensor(folder / ("output_" + std::to_string(i) + ".pb"));
    for (const auto& attribute : graph.node(0).attribute())
      each.batch_first = each.batch_first || (attribute.name() == "layout" && attribute.i() == 1);
    cases.push_back(std::move(each));
  }
  return cases;
}

class GruCaseTest : public testing::TestWithParam<GruCase> {};

TEST_P(GruCaseTest, AnswersWhatTheTableSays) {
  const GruCase& each = GetParam();
  const absl::StatusOr<OnnxModel> model = ParseOnnx(each.model.SerializeAsString(), nullptr);
  ASSERT_TRUE(model.ok()) << model.status();
  absl::StatusOr<Graph> graph = ImportOnnx(*model);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto network = Network::Create(*std::move(graph)).value();
  const auto replica = NetworkReplica::Create(network).value();

  const Numbers& x = each.inputs.at("X");
  const int64_t time = x.shape[each.batch_first ? 1 : 0];
  const int64_t batch = x.shape[each.batch_first ? 0 : 1];
  const int64_t features = x.shape[2];
  const int64_t width = network->output_size();
  const int64_t state_size = network->state_size();
  const int64_t directions = network->states()[0].blocks;
  const int64_t hidden = network->states()[0].hidden_size;
  std::vector<int64_t> lengths(static_cast<size_t>(batch), time);
  if (each.inputs.contains("sequence_lens")) {
    const auto& given = each.inputs.at("sequence_lens").data;
    lengths.assign(given.begin(), given.end());
  }
  std::vector<float> output(static_cast<size_t>(time * batch * width), 0.0F);
  std::vector<float> states(static_cast<size_t>(batch * state_size), 0.0F);
  // A row of length 0 is no row of a call: what ONNX Runtime answers for it is zeros.
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = lengths[static_cast<size_t>(b)];
    if (length == 0) continue;
    float* const state = states.data() + b * state_size;
    for (int64_t d = 0; d < directions && each.inputs.contains("initial_h"); ++d)
      std::copy_n(each.inputs.at("initial_h").data.data() + (d * batch + b) * hidden, hidden,
                  state + d * hidden);
    std::vector<float*> rows = {state};
    const int64_t row_stride = each.batch_first ? time * features : features;
    ASSERT_TRUE(replica
                    ->RunSequence({.time_steps = time,
                                   .batch_size = 1,
                                   .input = x.data.data() + b * row_stride,
                                   .input_time_stride = each.batch_first ? features : batch * features,
                                   .input_batch_stride = row_stride,
                                   .output = output.data() + b * width,
                                   .output_time_stride = batch * width,
                                   .output_batch_stride = width,
                                   .lengths = {&length, 1},
                                   .states = rows})
                    .ok());
  }
  if (each.outputs.contains("Y")) {
    for (int64_t t = 0; t < time; ++t) {
      for (int64_t d = 0; d < directions; ++d) {
        for (int64_t b = 0; b < batch; ++b) {
          for (int64_t i = 0; i < hidden; ++i) {
            const int64_t place = each.batch_first ? ((b * time + t) * directions + d) * hidden + i
                                                   : ((t * directions + d) * batch + b) * hidden + i;
            EXPECT_NEAR(output[static_cast<size_t>((t * batch + b) * width + d * hidden + i)],
                        each.outputs.at("Y").data[static_cast<size_t>(place)], each.tolerance)
                << "Y " << t << " " << d << " " << b << " " << i;
          }
        }
      }
    }
  }
  if (!each.outputs.contains("Y_h")) return;
  for (int64_t d = 0; d < directions; ++d) {
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t i = 0; i < hidden; ++i) {
        const int64_t place =
            each.batch_first ? (b * directions + d) * hidden + i : (d * batch + b) * hidden + i;
        EXPECT_NEAR(states[static_cast<size_t>(b * state_size + d * hidden + i)],
                    each.outputs.at("Y_h").data[static_cast<size_t>(place)], each.tolerance)
            << "Y_h " << d << " " << b << " " << i;
      }
    }
  }
}

std::string NameOf(const testing::TestParamInfo<GruCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(OnnxRuntime, GruCaseTest, testing::ValuesIn(TableCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(OnnxBackend, GruCaseTest, testing::ValuesIn(BackendCases()), NameOf);

}  // namespace
}  // namespace gruserve

// ONNX models for tests, written field by field.

#ifndef GRUSERVE_TESTS_CORE_NETWORK_IMPORT_ONNX_ONNX_BUILDER_H_
#define GRUSERVE_TESTS_CORE_NETWORK_IMPORT_ONNX_ONNX_BUILDER_H_

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/network/import/onnx/onnx_importer.h"
#include "core/network/import/onnx/onnx_reader.h"

namespace gruserve {

class OnnxBuilder {
 public:
  explicit OnnxBuilder(int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
  }

  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  onnx::TensorProto& Floats(const std::string& name, const std::vector<int64_t>& shape,
                            const std::vector<float>& numbers) {
    onnx::TensorProto& tensor = Tensor(name, shape, onnx::TensorProto::FLOAT);
    tensor.mutable_float_data()->Assign(numbers.begin(), numbers.end());
    return tensor;
  }
  onnx::TensorProto& Ints(const std::string& name, const std::vector<int64_t>& numbers) {
    onnx::TensorProto& tensor =
        Tensor(name, {static_cast<int64_t>(numbers.size())}, onnx::TensorProto::INT64);
    tensor.mutable_int64_data()->Assign(numbers.begin(), numbers.end());
    return tensor;
  }
  onnx::TensorProto& Random(const std::string& name, const std::vector<int64_t>& shape) {
    std::uniform_real_distribution<float> uniform(-0.5F, 0.5F);
    std::vector<float> numbers;
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    for (int64_t i = 0; i < count; ++i) numbers.push_back(uniform(random_));
    return Floats(name, shape, numbers);
  }

  // An axis of -1 is named "batch", -2 "time".
  void Input(const std::string& name, const std::vector<int64_t>& shape,
             int type = onnx::TensorProto::FLOAT) {
    Port(graph().add_input(), name, shape, type);
  }
  void Output(const std::string& name) { Port(graph().add_output(), name, {}, onnx::TensorProto::FLOAT); }

  onnx::NodeProto& Node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
    onnx::NodeProto& node = *graph().add_node();
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    for (const std::string& output : outputs) node.add_output(output);
    return node;
  }
  static void Set(onnx::NodeProto& node, const std::string& name, int64_t value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(value);
  }
  static void Set(onnx::NodeProto& node, const std::string& name, float value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(value);
  }
  static void Set(onnx::NodeProto& node, const std::string& name, const std::string& value) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::STRING);
    attribute.set_s(value);
  }
  static void Set(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    attribute.mutable_ints()->Assign(values.begin(), values.end());
  }
  static void Set(onnx::NodeProto& node, const std::string& name, const std::vector<float>& values) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::FLOATS);
    attribute.mutable_floats()->Assign(values.begin(), values.end());
  }
  static void Set(onnx::NodeProto& node, const std::string& name, const std::vector<std::string>& values) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& value : values) attribute.add_strings(value);
  }

  // x [time, batch, 2] -> GRU of 3 -> y [time, 1, batch, 3], with all that it needs.
  onnx::NodeProto& SmallGru() {
    Input("x", {-2, -1, 2});
    Random("W", {1, 9, 2});
    Random("R", {1, 9, 3});
    Random("B", {1, 18});
    onnx::NodeProto& node = Node("GRU", {"x", "W", "R", "B"}, {"y"});
    node.set_name("gru");
    Set(node, "linear_before_reset", int64_t{1});
    return node;
  }

  absl::StatusOr<Graph> Import(const OnnxImportOptions& options = {}) const {
    absl::StatusOr<OnnxModel> model = ParseOnnx(proto.SerializeAsString(), nullptr);
    if (!model.ok()) return model.status();
    return ImportOnnx(*model, options);
  }

  onnx::ModelProto proto;

 private:
  onnx::TensorProto& Tensor(const std::string& name, const std::vector<int64_t>& shape, int type) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const int64_t size : shape) tensor.add_dims(size);
    return tensor;
  }
  static void Port(onnx::ValueInfoProto* port, const std::string& name, const std::vector<int64_t>& shape,
                   int type) {
    port->set_name(name);
    auto* const tensor = port->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    for (const int64_t size : shape) {
      auto* const dim = tensor->mutable_shape()->add_dim();
      if (size < 0)
        dim->set_dim_param(size == -1 ? "batch" : "time");
      else
        dim->set_dim_value(size);
    }
  }

  std::mt19937 random_{7};
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_CORE_NETWORK_IMPORT_ONNX_ONNX_BUILDER_H_

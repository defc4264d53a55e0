// Any bytes as model.onnx, up to where primitives would be made. A graph that comes out
// has passed CheckGraph; whatever does not says why.
//
// Half of the mutations are of the bytes, half of what they mean: a small change of a
// whole number, a shape, a wire or an operator leaves the rest of the file sound.
#include <onnx/onnx_pb.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/network/import/onnx/onnx_importer.h"
#include "core/network/import/onnx/onnx_reader.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

// `count` things to choose from, as an index.
int Pick(std::mt19937& random, int count) {
  return static_cast<int>(random() % static_cast<unsigned int>(count));
}

int64_t Changed(std::mt19937& random, int64_t number) {
  switch (random() % 4) {
    case 0:
      return number + 1;
    case 1:
      return number - 1;
    case 2:
      return -number;
    default:
      return static_cast<int64_t>(random() % 8) - 3;
  }
}

void ChangeTensor(std::mt19937& random, onnx::TensorProto& tensor) {
  if (tensor.dims_size() > 0 && random() % 3 == 0) {
    const int axis = Pick(random, tensor.dims_size());
    return tensor.set_dims(axis, Changed(random, tensor.dims(axis)));
  }
  std::string& raw = *tensor.mutable_raw_data();
  const int numbers = static_cast<int>(raw.size() / sizeof(int64_t));
  if (tensor.data_type() != onnx::TensorProto::INT64 || numbers == 0) return;
  char* const place = raw.data() + sizeof(int64_t) * static_cast<size_t>(Pick(random, numbers));
  int64_t number = 0;
  std::memcpy(&number, place, sizeof(number));
  number = Changed(random, number);
  std::memcpy(place, &number, sizeof(number));
}

void ChangeNode(std::mt19937& random, onnx::GraphProto& graph) {
  onnx::NodeProto& node = *graph.mutable_node(Pick(random, graph.node_size()));
  onnx::NodeProto& other = *graph.mutable_node(Pick(random, graph.node_size()));
  const unsigned int choice = random() % 3;
  if (choice == 0 && node.input_size() > 0 && other.output_size() > 0)
    node.set_input(Pick(random, node.input_size()), other.output(0));
  if (choice == 1) node.set_op_type(other.op_type());
  if (choice != 2 || node.attribute_size() == 0) return;
  onnx::AttributeProto& attribute = *node.mutable_attribute(Pick(random, node.attribute_size()));
  if (attribute.has_t()) return ChangeTensor(random, *attribute.mutable_t());
  attribute.set_i(Changed(random, attribute.i()));
  if (attribute.ints_size() == 0) return;
  const int at = Pick(random, attribute.ints_size());
  attribute.set_ints(at, Changed(random, attribute.ints(at)));
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  std::mt19937 random(seed);
  onnx::ModelProto model;
  if (random() % 2 == 0 || !model.ParseFromArray(data, static_cast<int>(size)) ||
      model.graph().node_size() == 0)
    return LLVMFuzzerMutate(data, size, max_size);
  onnx::GraphProto& graph = *model.mutable_graph();
  if (graph.initializer_size() > 0 && random() % 4 == 0)
    ChangeTensor(random, *graph.mutable_initializer(Pick(random, graph.initializer_size())));
  else
    ChangeNode(random, graph);
  const std::string bytes = model.SerializeAsString();
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = gruserve::ParseOnnx(std::string(reinterpret_cast<const char*>(data), size), nullptr);
  if (!model.ok()) {
    if (model.status().message().empty()) std::abort();
    return 0;
  }
  const auto graph = gruserve::ImportOnnx(*model, {.reset_before_confirmed = true});
  if (!graph.ok() && graph.status().message().empty()) std::abort();
  return 0;
}

// An ONNX file as plain values: what onnx_reader.h has checked, and no protobuf.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_MODEL_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gruserve {

// Axes whose size is only known in a call. They stand in shapes, and among the
// integers of shape arithmetic. Where they stand, a tensor has one element.
constexpr int64_t kTimeAxis = INT64_MIN + 0x7154;
constexpr int64_t kBatchAxis = INT64_MIN + 0x7155;

inline bool IsCallAxis(int64_t size) { return size == kTimeAxis || size == kBatchAxis; }

// Floats (rounded from wider ones) or whole numbers (booleans too).
struct OnnxTensor {
  bool is_float = true;
  std::vector<int64_t> shape;
  std::vector<float> floats;
  std::vector<int64_t> ints;
};

using OnnxTensorPtr = std::shared_ptr<const OnnxTensor>;

struct OnnxAttribute {
  enum class Kind { kFloat, kInt, kString, kTensor, kFloats, kInts, kStrings, kOther };

  Kind kind = Kind::kOther;
  float f = 0;
  int64_t i = 0;
  std::string s;
  OnnxTensorPtr tensor;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
};

struct OnnxNode {
  std::string name;  // The file's, made printable; else that of its first output.
  std::string op;
  std::string domain;
  std::vector<std::string> inputs;  // "": left out.
  std::vector<std::string> outputs;
  // The reader has seen to it that those known by name are of their kind.
  std::map<std::string, OnnxAttribute> attributes;

  const OnnxAttribute* Find(const std::string& attribute) const {
    const auto found = attributes.find(attribute);
    return found == attributes.end() ? nullptr : &found->second;
  }
  int64_t IntOr(const std::string& attribute, int64_t otherwise) const {
    const auto* const found = Find(attribute);
    return found == nullptr ? otherwise : found->i;
  }
  float FloatOr(const std::string& attribute, float otherwise) const {
    const auto* const found = Find(attribute);
    return found == nullptr ? otherwise : found->f;
  }
  bool has_input(size_t i) const { return i < inputs.size() && !inputs[i].empty(); }
};

// An input or output of the graph.
struct OnnxPort {
  struct Axis {
    std::optional<int64_t> size;  // Nothing where only a call knows it.
    std::string symbol;           // Its name then, or empty.
  };

  std::string name;
  bool is_float = true;
  bool has_shape = false;
  std::vector<Axis> axes;
};

struct OnnxModel {
  std::string producer;
  int64_t opset = 0;
  std::vector<OnnxPort> inputs;  // Without those that have an initializer.
  std::vector<OnnxPort> outputs;
  std::map<std::string, OnnxTensorPtr> initializers;
  std::vector<OnnxTensorPtr> external;  // Those of them that stand in other files.
  std::vector<OnnxNode> nodes;
  int64_t parameter_count = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_MODEL_H_

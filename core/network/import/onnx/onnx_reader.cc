#include "core/network/import/onnx/onnx_reader.h"

#include <onnx/onnx_pb.h>

#include <climits>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/onnx_tensor_reader.h"

namespace gruserve {
namespace {

using Kind = OnnxAttribute::Kind;

constexpr int64_t kMinIrVersion = 3;
constexpr int64_t kMaxIrVersion = 13;
constexpr int64_t kMinOpset = 7;
constexpr int64_t kMaxOpset = 23;
constexpr int kMaxNodes = 100'000;
constexpr int kMaxRank = 16;

// One meaning each, whatever the operator.
struct KnownAttribute {
  const char* name;
  Kind kind;
};
constexpr KnownAttribute kKnown[] = {
    {"activation_alpha", Kind::kFloats},
    {"activation_beta", Kind::kFloats},
    {"activations", Kind::kStrings},
    {"alpha", Kind::kFloat},
    {"approximate", Kind::kString},
    {"axes", Kind::kInts},
    {"axis", Kind::kInt},
    {"batch_dims", Kind::kInt},
    {"beta", Kind::kFloat},
    {"clip", Kind::kFloat},
    {"direction", Kind::kString},
    {"ends", Kind::kInts},
    {"epsilon", Kind::kFloat},
    {"hidden_size", Kind::kInt},
    {"keepdims", Kind::kInt},
    {"layout", Kind::kInt},
    {"linear_before_reset", Kind::kInt},
    {"max", Kind::kFloat},
    {"min", Kind::kFloat},
    {"noop_with_empty_axes", Kind::kInt},
    {"perm", Kind::kInts},
    {"split", Kind::kInts},
    {"starts", Kind::kInts},
    {"to", Kind::kInt},
    {"training_mode", Kind::kInt},
    {"transA", Kind::kInt},
    {"transB", Kind::kInt},
    {"value", Kind::kTensor},
    {"value_float", Kind::kFloat},
    {"value_floats", Kind::kFloats},
    {"value_int", Kind::kInt},
    {"value_ints", Kind::kInts},
};

absl::Status Bad(const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("onnx: ", message));
}

Kind KindOf(onnx::AttributeProto::AttributeType type) {
  switch (type) {
    case onnx::AttributeProto::FLOAT:
      return Kind::kFloat;
    case onnx::AttributeProto::INT:
      return Kind::kInt;
    case onnx::AttributeProto::STRING:
      return Kind::kString;
    case onnx::AttributeProto::TENSOR:
      return Kind::kTensor;
    case onnx::AttributeProto::FLOATS:
      return Kind::kFloats;
    case onnx::AttributeProto::INTS:
      return Kind::kInts;
    case onnx::AttributeProto::STRINGS:
      return Kind::kStrings;
    default:
      return Kind::kOther;
  }
}

absl::StatusOr<OnnxAttribute> ReadAttribute(const std::string& what, const onnx::AttributeProto& proto) {
  OnnxAttribute attribute{.kind = KindOf(proto.type())};
  for (const KnownAttribute& known : kKnown) {
    if (proto.name() == known.name && attribute.kind != known.kind)
      return Bad(absl::StrCat(what, "attribute ", proto.name(), " is of type ",
                              onnx::AttributeProto::AttributeType_Name(proto.type()), ", expected another"));
  }
  attribute.f = proto.f();
  attribute.i = proto.i();
  attribute.s = proto.s();
  attribute.floats.assign(proto.floats().begin(), proto.floats().end());
  attribute.ints.assign(proto.ints().begin(), proto.ints().end());
  attribute.strings.assign(proto.strings().begin(), proto.strings().end());
  if (attribute.kind == Kind::kTensor) {
    GRUSERVE_ASSIGN_OR_RETURN(
        attribute.tensor,
        ReadOnnxTensor(absl::StrCat("onnx: ", what, PrintableOnnx(proto.name()), " "), proto.t(), nullptr));
  }
  return attribute;
}

// What a message may show of a name, without quotes.
std::string Printable(const std::string& name) {
  const std::string quoted = PrintableOnnx(name);
  return quoted.substr(1, quoted.size() - 2);
}

absl::StatusOr<OnnxNode> ReadNode(const onnx::NodeProto& proto) {
  OnnxNode node;
  node.op = Printable(proto.op_type());
  node.domain = proto.domain() == "ai.onnx" ? "" : Printable(proto.domain());
  node.inputs.assign(proto.input().begin(), proto.input().end());
  node.outputs.assign(proto.output().begin(), proto.output().end());
  node.name = Printable(proto.name());
  for (const std::string& output : node.outputs) {
    if (node.name.empty()) node.name = Printable(output);
  }
  const std::string what = absl::StrCat("node \"", node.name, "\" (", node.op, "): ");
  if (node.outputs.empty()) return Bad(what + "has no output");
  for (const onnx::AttributeProto& attribute : proto.attribute()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxAttribute read, ReadAttribute(what, attribute));
    if (!node.attributes.emplace(attribute.name(), std::move(read)).second)
      return Bad(absl::StrCat(what, "attribute ", PrintableOnnx(attribute.name()), " comes twice"));
  }
  return node;
}

absl::StatusOr<OnnxPort> ReadPort(const std::string& what, const onnx::ValueInfoProto& proto) {
  OnnxPort port{.name = proto.name()};
  const std::string name = absl::StrCat(what, " ", PrintableOnnx(proto.name()), ": ");
  if (proto.name().empty()) return Bad(absl::StrCat(what, " without a name"));
  if (!proto.type().has_tensor_type()) return Bad(name + "is no tensor");
  const auto& tensor = proto.type().tensor_type();
  port.is_float = tensor.elem_type() == onnx::TensorProto::FLOAT;
  if (!port.is_float && tensor.elem_type() != onnx::TensorProto::INT64 &&
      tensor.elem_type() != onnx::TensorProto::INT32)
    return Bad(
        absl::StrCat(name, "elem_type is ", tensor.elem_type(), ", expected FLOAT (1), INT32 or INT64"));
  port.has_shape = tensor.has_shape();
  if (tensor.shape().dim_size() > kMaxRank)
    return Bad(absl::StrCat(name, "has ", tensor.shape().dim_size(), " axes, expected up to ", kMaxRank));
  for (const auto& dim : tensor.shape().dim()) {
    OnnxPort::Axis axis;
    if (dim.has_dim_value()) axis.size = dim.dim_value();
    if (dim.has_dim_param()) axis.symbol = dim.dim_param();
    port.axes.push_back(std::move(axis));
  }
  return port;
}

absl::Status CheckVersions(const onnx::ModelProto& proto, int64_t* opset) {
  if (proto.ir_version() < kMinIrVersion || proto.ir_version() > kMaxIrVersion)
    return Bad(absl::StrCat("ir_version is ", proto.ir_version(), ", expected ", kMinIrVersion, " to ",
                            kMaxIrVersion));
  for (const auto& import : proto.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") *opset = import.version();
  }
  if (*opset < kMinOpset || *opset > kMaxOpset)
    return Bad(absl::StrCat("opset is ", *opset, ", expected ", kMinOpset, " to ", kMaxOpset));
  if (proto.functions_size() != 0) return Bad("has functions of its own, expected none");
  if (!proto.has_graph()) return Bad("has no graph");
  if (proto.graph().sparse_initializer_size() != 0)
    return Bad("has sparse initializers, expected dense ones");
  if (proto.graph().node_size() > kMaxNodes)
    return Bad(absl::StrCat("has ", proto.graph().node_size(), " nodes, expected up to ", kMaxNodes));
  return absl::OkStatus();
}

absl::Status ReadInitializers(const onnx::GraphProto& graph, const ModelFolder* folder, OnnxModel* model) {
  for (const onnx::TensorProto& proto : graph.initializer()) {
    const std::string what = absl::StrCat("initializer ", PrintableOnnx(proto.name()), ": ");
    GRUSERVE_ASSIGN_OR_RETURN(OnnxTensorPtr tensor,
                              ReadOnnxTensor(absl::StrCat("onnx: ", what), proto, folder));
    if (proto.external_data_size() != 0) model->external.push_back(tensor);
    model->parameter_count += static_cast<int64_t>(tensor->floats.size());
    if (proto.name().empty() || !model->initializers.emplace(proto.name(), std::move(tensor)).second)
      return Bad(absl::StrCat(what, proto.name().empty() ? "has no name" : "comes twice"));
  }
  return absl::OkStatus();
}

// Every value has one source, and a node reads what came before it.
absl::Status CheckNames(const OnnxModel& model) {
  std::set<std::string> known;
  for (const auto& [name, tensor] : model.initializers) known.insert(name);
  for (const OnnxPort& input : model.inputs) {
    if (!known.insert(input.name).second)
      return Bad(absl::StrCat("input ", PrintableOnnx(input.name), " comes twice"));
  }
  for (const OnnxNode& node : model.nodes) {
    const std::string what = absl::StrCat("node \"", node.name, "\" (", node.op, "): ");
    for (const std::string& input : node.inputs) {
      if (!input.empty() && !known.contains(input))
        return Bad(absl::StrCat(what, "reads ", PrintableOnnx(input), ", which nothing before it gives"));
    }
    for (const std::string& output : node.outputs) {
      if (!output.empty() && !known.insert(output).second)
        return Bad(absl::StrCat(what, "gives ", PrintableOnnx(output), ", which is there already"));
    }
  }
  for (const OnnxPort& output : model.outputs) {
    if (!known.contains(output.name))
      return Bad(absl::StrCat("output ", PrintableOnnx(output.name), " is given by no node"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OnnxModel> ParseOnnx(const std::string& bytes, const ModelFolder* folder) {
  if (bytes.size() > INT_MAX)
    return Bad(absl::StrCat("the file has ", bytes.size(), " bytes, expected up to ", INT_MAX));
  onnx::ModelProto proto;
  if (bytes.empty() || !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Bad("the file is no ONNX protobuf, or is cut off");
  OnnxModel model;
  GRUSERVE_RETURN_IF_ERROR(CheckVersions(proto, &model.opset));
  model.producer = Printable(proto.producer_name());
  GRUSERVE_RETURN_IF_ERROR(ReadInitializers(proto.graph(), folder, &model));
  for (const auto& input : proto.graph().input()) {
    if (model.initializers.contains(input.name())) continue;
    GRUSERVE_ASSIGN_OR_RETURN(OnnxPort port, ReadPort("input", input));
    model.inputs.push_back(std::move(port));
  }
  for (const auto& output : proto.graph().output()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxPort port, ReadPort("output", output));
    model.outputs.push_back(std::move(port));
  }
  for (const auto& proto_node : proto.graph().node()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxNode node, ReadNode(proto_node));
    model.nodes.push_back(std::move(node));
  }
  GRUSERVE_RETURN_IF_ERROR(CheckNames(model));
  return model;
}

}  // namespace gruserve

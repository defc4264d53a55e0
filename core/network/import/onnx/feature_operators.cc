#include <cmath>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/operators.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// These work on all features of a row: `axes` must be all axes of more than 1, and no
// call axis.
absl::Status CheckAllFeatures(const OnnxValue& x, const std::vector<int64_t>& axes) {
  std::vector<bool> named(x.shape.size(), false);
  for (const int64_t each : axes) {
    GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(each, x.rank()));
    named[static_cast<size_t>(axis)] = true;
  }
  for (size_t i = 0; i < named.size(); ++i) {
    if (named[i] && IsCallAxis(x.shape[i]))
      return Bad(absl::StrCat("works along axis ", i, " of ", ShapeText(x.shape), ", which mixes ",
                              x.shape[i] == kTimeAxis ? "time steps" : "batch rows"));
    if (!named[i] && !IsCallAxis(x.shape[i]) && x.shape[i] != 1)
      return Bad(absl::StrCat("leaves axis ", i, " of ", ShapeText(x.shape),
                              " out, expected all features of a time step together"));
  }
  return absl::OkStatus();
}

absl::Status GiveLike(const OnnxNode& node, OnnxScope& scope, const OnnxValue& x, GraphOp op) {
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId y,
                            scope.Append(node.name, std::move(op), {x.rows}, scope.width(x.rows)));
  return scope.Give(node, 0, OnnxScope::Like(x, y, x.shape));
}

std::vector<int64_t> AxesFrom(int64_t axis, int64_t rank) {
  std::vector<int64_t> axes;
  for (; axis < rank; ++axis) axes.push_back(axis);
  return axes;
}

template <bool log>
absl::Status LowerSoftmax(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  // Before version 13, all axes from `axis` on count as one.
  const bool newer = scope.model.opset >= 13;
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(node.IntOr("axis", newer ? -1 : 1), x.rank()));
  GRUSERVE_RETURN_IF_ERROR(
      CheckAllFeatures(x, newer ? std::vector<int64_t>{axis} : AxesFrom(axis, x.rank())));
  return GiveLike(node, scope, x, SoftmaxNode{.log = log});
}

template <ReduceFunction function>
absl::Status LowerReduce(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  std::vector<int64_t> axes;
  if (const OnnxAttribute* const attribute = node.Find("axes")) axes = attribute->ints;
  if (node.has_input(1)) {
    GRUSERVE_ASSIGN_OR_RETURN(axes, scope.Ints(node, 1, "axes"));
  }
  if (axes.empty() && node.IntOr("noop_with_empty_axes", 0) != 0) return scope.Give(node, 0, x);
  if (axes.empty()) axes = AxesFrom(0, x.rank());
  GRUSERVE_RETURN_IF_ERROR(CheckAllFeatures(x, axes));
  std::vector<bool> reduced(x.shape.size(), false);
  for (const int64_t axis : axes) reduced[static_cast<size_t>(axis < 0 ? axis + x.rank() : axis)] = true;
  std::vector<int64_t> shape;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i]) shape.push_back(x.shape[i]);
    if (reduced[i] && node.IntOr("keepdims", 1) != 0) shape.push_back(1);
  }
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId y,
                            scope.Append(node.name, ReduceNode{.function = function}, {x.rows}, 1));
  return scope.Give(node, 0, OnnxScope::Like(x, y, std::move(shape)));
}

absl::StatusOr<std::vector<float>> Floats(const OnnxNode& node, const OnnxScope& scope, size_t i,
                                          const char* name, int64_t size) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr tensor, scope.Constant(node, i, name));
  if (tensor->is_float && NumElements(tensor->shape) == size) return tensor->floats;
  return Bad(absl::StrCat(name, " is ", tensor->is_float ? "" : "whole numbers of ", ShapeText(tensor->shape),
                          ", expected ", size, " floats"));
}

absl::Status LowerLayerNorm(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(node.IntOr("axis", -1), x.rank()));
  GRUSERVE_RETURN_IF_ERROR(CheckAllFeatures(x, AxesFrom(axis, x.rank())));
  const int64_t features = scope.width(x.rows);
  LayerNormNode op{.epsilon = node.FloatOr("epsilon", 1e-5F), .scale = {}, .shift = {}};
  GRUSERVE_ASSIGN_OR_RETURN(op.scale, Floats(node, scope, 1, "Scale", features));
  if (node.has_input(2)) {
    GRUSERVE_ASSIGN_OR_RETURN(op.shift, Floats(node, scope, 2, "B", features));
  }
  return GiveLike(node, scope, x, std::move(op));
}

// In inference it is a * x + b.
absl::Status LowerBatchNorm(const OnnxNode& node, OnnxScope& scope) {
  if (node.IntOr("training_mode", 0) != 0) return Bad("is in training mode");
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue x, scope.Rows(node, 0));
  const int64_t features = scope.width(x.rows);
  if (x.rank() < 2 || x.shape[1] != features)
    return Bad(absl::StrCat("works on axis 1 of ", ShapeText(x.shape), ", expected all features there"));
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<float> scale, Floats(node, scope, 1, "scale", features));
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<float> shift, Floats(node, scope, 2, "B", features));
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<float> mean, Floats(node, scope, 3, "mean", features));
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<float> variance, Floats(node, scope, 4, "var", features));
  for (size_t i = 0; i < scale.size(); ++i) {
    const double factor =
        scale[i] / std::sqrt(static_cast<double>(variance[i]) + node.FloatOr("epsilon", 1e-5F));
    shift[i] = static_cast<float>(shift[i] - mean[i] * factor);
    scale[i] = static_cast<float>(factor);
  }
  GRUSERVE_ASSIGN_OR_RETURN(
      x.rows,
      scope.Append(node.name, BinaryNode{.function = BinaryFunction::kMul, .constant = std::move(scale)},
                   {x.rows}, features));
  return GiveLike(node, scope, x, BinaryNode{.function = BinaryFunction::kAdd, .constant = std::move(shift)});
}

absl::Status LowerOneHot(const OnnxNode& node, OnnxScope& scope) {
  const OnnxValue& index = scope.In(node, 0);
  if (index.kind != OnnxValue::Kind::kRows || scope.width(index.rows) != 1)
    return Bad("expected one index a time step, which a call brings");
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr depth, scope.Constant(node, 1, "depth"));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr values, scope.Constant(node, 2, "values"));
  if (depth->is_float || depth->ints.size() != 1) return Bad("depth is not a single whole number");
  if (!values->is_float || values->floats != std::vector<float>{0, 1})
    return Bad("values are not the floats 0 and 1");
  if (node.IntOr("axis", -1) != -1 && node.IntOr("axis", -1) != index.rank())
    return Bad("axis is not the last one");
  const int64_t width = depth->ints[0];
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId rows,
                            scope.Append(node.name, OneHotNode{.depth = width}, {index.rows}, width));
  std::vector<int64_t> shape = index.shape;
  shape.push_back(width);
  return scope.Give(node, 0, OnnxScope::Like(index, rows, std::move(shape)));
}

}  // namespace

OnnxOperator FindFeatureOperator(const std::string& op) {
  static const std::map<std::string, OnnxOperator> operators = {
      {"BatchNormalization", LowerBatchNorm},
      {"LayerNormalization", LowerLayerNorm},
      {"LogSoftmax", LowerSoftmax<true>},
      {"OneHot", LowerOneHot},
      {"ReduceMax", LowerReduce<ReduceFunction::kMax>},
      {"ReduceMean", LowerReduce<ReduceFunction::kMean>},
      {"ReduceMin", LowerReduce<ReduceFunction::kMin>},
      {"ReduceSum", LowerReduce<ReduceFunction::kSum>},
      {"Softmax", LowerSoftmax<false>},
  };
  const auto found = operators.find(op);
  return found == operators.end() ? nullptr : found->second;
}

}  // namespace gruserve

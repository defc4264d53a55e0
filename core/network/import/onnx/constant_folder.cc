#include "core/network/import/onnx/constant_folder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

// ONNX's numbers of element types.
constexpr int64_t kFloatType = 1;
constexpr int64_t kInt32Type = 6;
constexpr int64_t kInt64Type = 7;
constexpr int64_t kBoolType = 9;
constexpr int64_t kDoubleType = 11;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

float Compute(float a, float b, BinaryFunction function) {
  switch (function) {
    case BinaryFunction::kAdd:
      return a + b;
    case BinaryFunction::kSub:
      return a - b;
    case BinaryFunction::kMul:
      return a * b;
    case BinaryFunction::kDiv:
      return a / b;
    case BinaryFunction::kMin:
      return std::min(a, b);
    case BinaryFunction::kMax:
      return std::max(a, b);
  }
  return a;
}

std::optional<int64_t> ComputeCallAxis(int64_t a, int64_t b, BinaryFunction function) {
  if (b == 1 && (function == BinaryFunction::kMul || function == BinaryFunction::kDiv)) return a;
  if (a == 1 && function == BinaryFunction::kMul) return b;
  if (b == 0 && (function == BinaryFunction::kAdd || function == BinaryFunction::kSub)) return a;
  if (a == 0 && function == BinaryFunction::kAdd) return b;
  return std::nullopt;
}

std::optional<int64_t> Compute(int64_t a, int64_t b, BinaryFunction function) {
  if (IsCallAxis(a) || IsCallAxis(b)) return ComputeCallAxis(a, b, function);
  int64_t difference = 0;
  switch (function) {
    case BinaryFunction::kAdd:
      return CheckedAdd(a, b);
    case BinaryFunction::kSub:
      if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
      return difference;
    case BinaryFunction::kMul:
      return CheckedMultiply(a, b);
    case BinaryFunction::kDiv:
      if (b == 0 || (a == INT64_MIN && b == -1)) return std::nullopt;
      return a / b;
    case BinaryFunction::kMin:
      return std::min(a, b);
    case BinaryFunction::kMax:
      return std::max(a, b);
  }
  return std::nullopt;
}

absl::Status FoldConstant(const OnnxNode& node, OnnxScope& scope) {
  OnnxTensor tensor;
  if (const OnnxAttribute* const value = node.Find("value")) {
    if (value->tensor == nullptr) return Bad("value holds no tensor");
    tensor = *value->tensor;
  } else if (const OnnxAttribute* const one = node.Find("value_float")) {
    tensor.floats = {one->f};
  } else if (const OnnxAttribute* const whole = node.Find("value_int")) {
    tensor.is_float = false;
    tensor.ints = {whole->i};
  } else if (const OnnxAttribute* const floats = node.Find("value_floats")) {
    tensor.floats = floats->floats;
    tensor.shape = {static_cast<int64_t>(floats->floats.size())};
  } else if (const OnnxAttribute* const ints = node.Find("value_ints")) {
    tensor.is_float = false;
    tensor.ints = ints->ints;
    tensor.shape = {static_cast<int64_t>(ints->ints.size())};
  } else {
    return Bad("has no value, value_float, value_floats, value_int or value_ints");
  }
  return scope.Give(node, 0, ConstantValue(std::move(tensor)));
}

absl::Status FoldConstantOfShape(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, scope.Ints(node, 0, "shape"));
  OnnxTensor one{.is_float = true, .shape = {}, .floats = {0.0F}, .ints = {}};
  if (const OnnxAttribute* const value = node.Find("value")) {
    if (value->tensor == nullptr || NumElements(value->tensor->shape) != 1)
      return Bad("value is not a single number");
    one = *value->tensor;
    one.shape.clear();
  }
  for (const int64_t size : shape) {
    if (size < 0 && !IsCallAxis(size)) return Bad(absl::StrCat("shape is ", ShapeText(shape)));
  }
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor filled, BroadcastTo(one, shape));
  return scope.Give(node, 0, ConstantValue(std::move(filled)));
}

absl::Status FoldShape(const OnnxNode& node, OnnxScope& scope) {
  const OnnxValue& value = scope.In(node, 0);
  if (value.kind == OnnxValue::Kind::kMissing) return Bad("its input is left out");
  const int64_t rank = value.rank();
  const auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const int64_t start = place(node.IntOr("start", 0));
  const int64_t end = std::max(start, place(node.IntOr("end", rank)));
  OnnxTensor sizes{.is_float = false, .shape = {end - start}, .floats = {}, .ints = {}};
  sizes.ints.assign(value.shape.begin() + start, value.shape.begin() + end);
  return scope.Give(node, 0, ConstantValue(std::move(sizes)));
}

absl::StatusOr<OnnxTensor> CastConstant(const OnnxTensor& tensor, int64_t to) {
  OnnxTensor cast{.is_float = to == kFloatType || to == kDoubleType, .shape = tensor.shape};
  for (const float number : tensor.floats) {
    // Not what a cast says, but what it can say: ONNX leaves the rest undefined.
    if (!cast.is_float && !(std::abs(number) < 9e18F)) return Bad("makes a whole number of one too large");
    if (cast.is_float)
      cast.floats.push_back(number);
    else
      cast.ints.push_back(to == kBoolType ? number != 0 : static_cast<int64_t>(number));
  }
  for (const int64_t number : tensor.ints) {
    if (IsCallAxis(number) && to != kInt64Type && to != kInt32Type)
      return Bad("makes another number of the size of a call");
    if (cast.is_float)
      cast.floats.push_back(static_cast<float>(number));
    else
      cast.ints.push_back(to == kBoolType ? number != 0 : number);
  }
  return cast;
}

absl::Status LowerCast(const OnnxNode& node, OnnxScope& scope) {
  const int64_t to = node.IntOr("to", 0);
  if (to != kFloatType && to != kDoubleType && to != kInt64Type && to != kInt32Type && to != kBoolType)
    return Bad(
        absl::StrCat("to is ", to, ", expected FLOAT (1), INT32 (6), INT64 (7), BOOL (9) or DOUBLE (11)"));
  OnnxValue value = scope.In(node, 0);
  if (value.is_constant()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor cast, CastConstant(*value.constant, to));
    return scope.Give(node, 0, ConstantValue(std::move(cast)));
  }
  if (value.kind == OnnxValue::Kind::kMissing) return Bad("its input is left out");
  if (to == kBoolType) return Bad("makes truth values of numbers that only a call has");
  value.truncated = to == kInt64Type || to == kInt32Type;
  return scope.Give(node, 0, std::move(value));
}

absl::Status FoldEqual(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr a, scope.Constant(node, 0, "its first input"));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr b, scope.Constant(node, 1, "its second input"));
  if (a->is_float || b->is_float) return Bad("compares floats, expected whole numbers");
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(a->shape, b->shape));
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor equal, BroadcastTo(*a, shape));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensor other, BroadcastTo(*b, shape));
  for (size_t i = 0; i < equal.ints.size(); ++i) {
    const int64_t x = equal.ints[i];
    const int64_t y = other.ints[i];
    if (x != y && ((IsCallAxis(x) && y > 0) || (IsCallAxis(y) && x > 0)))
      return Bad("compares the size of a call with a number");
    equal.ints[i] = x == y;
  }
  return scope.Give(node, 0, ConstantValue(std::move(equal)));
}

absl::Status FoldWhere(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr which, scope.Constant(node, 0, "its condition"));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr a, scope.Constant(node, 1, "its first choice"));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr b, scope.Constant(node, 2, "its second choice"));
  if (which->is_float || a->is_float != b->is_float) return Bad("chooses between floats and whole numbers");
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<int64_t> shape, BroadcastShape(a->shape, b->shape));
  GRUSERVE_ASSIGN_OR_RETURN(shape, BroadcastShape(shape, which->shape));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensor condition, BroadcastTo(*which, shape));
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor chosen, BroadcastTo(*a, shape));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensor other, BroadcastTo(*b, shape));
  for (size_t i = 0; i < condition.ints.size(); ++i) {
    if (condition.ints[i] != 0) continue;
    if (chosen.is_float)
      chosen.floats[i] = other.floats[i];
    else
      chosen.ints[i] = other.ints[i];
  }
  return scope.Give(node, 0, ConstantValue(std::move(chosen)));
}

}  // namespace

absl::StatusOr<OnnxTensor> FoldBinary(const OnnxTensor& a, const OnnxTensor& b, BinaryFunction function) {
  if (a.is_float != b.is_float) return Bad("computes with floats and whole numbers");
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(a.shape, b.shape));
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor folded, BroadcastTo(a, shape));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensor other, BroadcastTo(b, shape));
  for (size_t i = 0; i < folded.floats.size(); ++i)
    folded.floats[i] = Compute(folded.floats[i], other.floats[i], function);
  for (size_t i = 0; i < folded.ints.size(); ++i) {
    const std::optional<int64_t> result = Compute(folded.ints[i], other.ints[i], function);
    if (!result)
      return Bad(absl::StrCat("computes with ", ShapeText({{folded.ints[i], other.ints[i]}}),
                              ", which has no answer before a call"));
    folded.ints[i] = *result;
  }
  return folded;
}

OnnxOperator FindConstantOperator(const std::string& op) {
  static const std::map<std::string, OnnxOperator> operators = {
      {"Cast", LowerCast},  {"Constant", FoldConstant}, {"ConstantOfShape", FoldConstantOfShape},
      {"Equal", FoldEqual}, {"Shape", FoldShape},       {"Where", FoldWhere},
  };
  const auto found = operators.find(op);
  return found == operators.end() ? nullptr : found->second;
}

}  // namespace gruserve

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/constant_folder.h"
#include "core/network/import/onnx/operators.h"
#include "core/network/import/onnx/row_moves.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status GiveUnary(const OnnxNode& node, OnnxScope& scope, UnaryFunction function, float alpha = 0,
                       float beta = 0) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId y, scope.Append(node.name, UnaryNode{function, alpha, beta},
                                                          {x.rows}, scope.width(x.rows)));
  return scope.Give(node, 0, OnnxScope::Like(x, y, x.shape));
}

template <UnaryFunction function>
absl::Status LowerUnary(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, function);
}

absl::Status LowerRelu(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kLeakyRelu, 0);
}
absl::Status LowerLeakyRelu(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kLeakyRelu, node.FloatOr("alpha", 0.01F));
}
absl::Status LowerElu(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kElu, node.FloatOr("alpha", 1));
}
absl::Status LowerHardSigmoid(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kHardSigmoid, node.FloatOr("alpha", 0.2F),
                   node.FloatOr("beta", 0.5F));
}
absl::Status LowerNeg(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kLinear, -1, 0);
}
absl::Status LowerReciprocal(const OnnxNode& node, OnnxScope& scope) {
  return GiveUnary(node, scope, UnaryFunction::kPow, 1, -1);
}
absl::Status LowerGelu(const OnnxNode& node, OnnxScope& scope) {
  const OnnxAttribute* const approximate = node.Find("approximate");
  const bool by_tanh = approximate != nullptr && approximate->s == "tanh";
  return GiveUnary(node, scope, by_tanh ? UnaryFunction::kGeluTanh : UnaryFunction::kGeluErf);
}

absl::StatusOr<float> ScalarInput(const OnnxNode& node, const OnnxScope& scope, size_t i, const char* name,
                                  float otherwise) {
  if (!node.has_input(i)) return otherwise;
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr constant, scope.Constant(node, i, name));
  if (constant->is_float && constant->floats.size() == 1) return constant->floats[0];
  if (!constant->is_float && constant->ints.size() == 1 && !IsCallAxis(constant->ints[0]))
    return static_cast<float>(constant->ints[0]);
  return Bad(absl::StrCat(name, " is ", ShapeText(constant->shape), ", expected a single number"));
}

absl::Status LowerClip(const OnnxNode& node, OnnxScope& scope) {
  constexpr float kMost = std::numeric_limits<float>::max();
  GRUSERVE_ASSIGN_OR_RETURN(const float least,
                            ScalarInput(node, scope, 1, "min", node.FloatOr("min", -kMost)));
  GRUSERVE_ASSIGN_OR_RETURN(const float most, ScalarInput(node, scope, 2, "max", node.FloatOr("max", kMost)));
  return GiveUnary(node, scope, UnaryFunction::kClip, std::max(least, -kMost), std::min(most, kMost));
}

absl::Status LowerPow(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const float exponent, ScalarInput(node, scope, 1, "the exponent", 1));
  if (exponent == 2) return GiveUnary(node, scope, UnaryFunction::kSquare);
  if (exponent == 0.5F) return GiveUnary(node, scope, UnaryFunction::kSqrt);
  return GiveUnary(node, scope, UnaryFunction::kPow, 1, exponent);
}

// The Dense before it takes a bias in, where nobody else reads it.
bool FuseBias(const OnnxNode& node, OnnxScope& scope, size_t rows_input, const OnnxValue& rows,
              const std::vector<float>& numbers) {
  const auto inputs = static_cast<ValueId>(scope.graph.inputs.size());
  if (rows.rows < inputs || scope.uses[node.inputs[rows_input]] != 1) return false;
  auto* const dense = std::get_if<DenseNode>(&scope.graph.nodes[static_cast<size_t>(rows.rows - inputs)].op);
  if (dense == nullptr || !dense->bias.empty()) return false;
  if (static_cast<int64_t>(numbers.size()) != dense->output_width) return false;
  dense->bias = numbers;
  return true;
}

absl::Status WithConstant(const OnnxNode& node, OnnxScope& scope, BinaryFunction function, bool first) {
  const size_t rows_input = first ? 1 : 0;
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue rows, scope.Rows(node, rows_input));
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr constant,
                            scope.Constant(node, 1 - rows_input, "its operand"));
  if (!constant->is_float) return Bad("computes with whole numbers, expected floats");
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(rows.shape, constant->shape));
  if (NumElements(shape) != scope.width(rows.rows)) {
    GRUSERVE_ASSIGN_OR_RETURN(rows, BroadcastRows(node, scope, rows, shape));
  }
  if (rows.last_step && std::count(shape.begin(), shape.end(), kTimeAxis) != 0)
    return Bad("brings what the last time step gives to every time step");
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor numbers, BroadcastTo(*constant, shape));
  if (function == BinaryFunction::kAdd && FuseBias(node, scope, rows_input, rows, numbers.floats))
    return scope.Give(node, 0, OnnxScope::Like(rows, rows.rows, shape));
  if (constant->floats.size() == 1) numbers.floats.resize(1);
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId y, scope.Append(node.name,
                                                          BinaryNode{.function = function,
                                                                     .constant = std::move(numbers.floats),
                                                                     .constant_first = first},
                                                          {rows.rows}, NumElements(shape)));
  return scope.Give(node, 0, OnnxScope::Like(rows, y, shape));
}

absl::Status GiveBinary(const OnnxNode& node, OnnxScope& scope, BinaryFunction function) {
  if (node.inputs.size() != 2) return Bad(absl::StrCat("has ", node.inputs.size(), " inputs, expected 2"));
  const OnnxValue& x = scope.In(node, 0);
  const OnnxValue& y = scope.In(node, 1);
  if (x.is_constant() && y.is_constant()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor folded, FoldBinary(*x.constant, *y.constant, function));
    return scope.Give(node, 0, ConstantValue(std::move(folded)));
  }
  if (x.is_constant() || y.is_constant()) return WithConstant(node, scope, function, x.is_constant());
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue a, scope.Rows(node, 0));
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue b, scope.Rows(node, 1));
  if (a.last_step != b.last_step) return Bad("brings together the last time step and every time step");
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(a.shape, b.shape));
  const int64_t width = NumElements(shape);
  for (OnnxValue* const each : {&a, &b}) {
    const int64_t own = scope.width(each->rows);
    if (own == width || (own == 1 && each == &b)) continue;
    GRUSERVE_ASSIGN_OR_RETURN(*each, BroadcastRows(node, scope, *each, shape));
  }
  GRUSERVE_ASSIGN_OR_RETURN(
      const ValueId value,
      scope.Append(node.name, BinaryNode{.function = function, .constant = {}}, {a.rows, b.rows}, width));
  return scope.Give(node, 0, OnnxScope::Like(a, value, shape));
}

template <BinaryFunction function>
absl::Status LowerBinary(const OnnxNode& node, OnnxScope& scope) {
  return GiveBinary(node, scope, function);
}

// A constant of two axes, leading ones aside.
absl::StatusOr<OnnxTensor> Matrix(const OnnxNode& node, const OnnxScope& scope, bool transposed) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr constant, scope.Constant(node, 1, "its second operand"));
  OnnxTensor matrix = *constant;
  while (matrix.shape.size() > 2 && matrix.shape[0] == 1) matrix.shape.erase(matrix.shape.begin());
  if (!matrix.is_float || matrix.shape.size() != 2 || matrix.floats.empty())
    return Bad(absl::StrCat("multiplies by ", ShapeText(constant->shape), ", expected a matrix of floats"));
  if (transposed) return matrix;
  return Transposed(matrix, {1, 0});
}

// x times a matrix [N, K]: the last axis of x is all its features.
absl::Status GiveProduct(const OnnxNode& node, OnnxScope& scope, OnnxTensor matrix, std::vector<float> bias) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxValue x, scope.Rows(node, 0));
  const int64_t columns = matrix.shape[1];
  if (x.shape.empty() || x.shape.back() != columns || scope.width(x.rows) != columns)
    return Bad(absl::StrCat("multiplies ", ShapeText(x.shape), " by a matrix of ", columns,
                            " rows, expected as many features in the last axis, and no others"));
  std::vector<int64_t> shape = x.shape;
  shape.back() = matrix.shape[0];
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId y, scope.Append(node.name,
                                                          DenseNode{.output_width = matrix.shape[0],
                                                                    .weight = std::move(matrix.floats),
                                                                    .bias = std::move(bias)},
                                                          {x.rows}, matrix.shape[0]));
  return scope.Give(node, 0, OnnxScope::Like(x, y, std::move(shape)));
}

absl::Status LowerMatMul(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor matrix, Matrix(node, scope, /*transposed=*/false));
  return GiveProduct(node, scope, std::move(matrix), {});
}

absl::Status LowerGemm(const OnnxNode& node, OnnxScope& scope) {
  if (node.IntOr("transA", 0) != 0) return Bad("transA is not 0: it would mix batch rows");
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor matrix, Matrix(node, scope, node.IntOr("transB", 0) != 0));
  for (float& number : matrix.floats) number *= node.FloatOr("alpha", 1);
  std::vector<float> bias;
  if (node.has_input(2)) {
    GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr c, scope.Constant(node, 2, "C"));
    const std::vector<int64_t> wanted = {1, matrix.shape[0]};
    GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(c->shape, wanted));
    if (!c->is_float || shape != wanted)
      return Bad(absl::StrCat("C is ", ShapeText(c->shape), ", expected floats of ", ShapeText(wanted)));
    GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor numbers, BroadcastTo(*c, shape));
    for (float& number : numbers.floats) number *= node.FloatOr("beta", 1);
    bias = std::move(numbers.floats);
  }
  return GiveProduct(node, scope, std::move(matrix), std::move(bias));
}

}  // namespace

OnnxOperator FindArithmetic(const std::string& op) {
  static const std::map<std::string, OnnxOperator> operators = {
      {"Abs", LowerUnary<UnaryFunction::kAbs>},
      {"Add", LowerBinary<BinaryFunction::kAdd>},
      {"Clip", LowerClip},
      {"Div", LowerBinary<BinaryFunction::kDiv>},
      {"Elu", LowerElu},
      {"Erf", LowerUnary<UnaryFunction::kErf>},
      {"Exp", LowerUnary<UnaryFunction::kExp>},
      {"Gelu", LowerGelu},
      {"Gemm", LowerGemm},
      {"HardSigmoid", LowerHardSigmoid},
      {"LeakyRelu", LowerLeakyRelu},
      {"Log", LowerUnary<UnaryFunction::kLog>},
      {"MatMul", LowerMatMul},
      {"Max", LowerBinary<BinaryFunction::kMax>},
      {"Min", LowerBinary<BinaryFunction::kMin>},
      {"Mul", LowerBinary<BinaryFunction::kMul>},
      {"Neg", LowerNeg},
      {"Pow", LowerPow},
      {"Reciprocal", LowerReciprocal},
      {"Relu", LowerRelu},
      {"Sigmoid", LowerUnary<UnaryFunction::kSigmoid>},
      {"Softplus", LowerUnary<UnaryFunction::kSoftplus>},
      {"Sqrt", LowerUnary<UnaryFunction::kSqrt>},
      {"Sub", LowerBinary<BinaryFunction::kSub>},
      {"Tanh", LowerUnary<UnaryFunction::kTanh>},
  };
  const auto found = operators.find(op);
  return found == operators.end() ? nullptr : found->second;
}

}  // namespace gruserve

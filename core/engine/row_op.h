// The functions that oneDNN computes on rows of numbers, besides the GRU itself. A
// row's result depends on that row alone. Plain values.

#ifndef GRUSERVE_CORE_ENGINE_ROW_OP_H_
#define GRUSERVE_CORE_ENGINE_ROW_OP_H_

#include <cstdint>
#include <tuple>

namespace gruserve {

// y = f(x), number by number; a and b are the op's `alpha` and `beta`. A NaN stays one.
enum class UnaryFunction {
  kAbs,
  kClip,         // min(max(x, a), b)
  kElu,          // x > 0 ? x : a * (exp(x) - 1)
  kErf,          //
  kExp,          //
  kGeluErf,      // x / 2 * (1 + erf(x / sqrt(2)))
  kGeluTanh,     // x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
  kHardSigmoid,  // min(max(a * x + b, 0), 1)
  kLeakyRelu,    // x > 0 ? x : a * x; Relu with a = 0
  kLinear,       // a * x + b
  kLog,          //
  kPow,          // a * x^b
  kSigmoid,      // 1 / (1 + exp(-x))
  kSoftplus,     // log(1 + exp(x))
  kSqrt,         //
  kSquare,       //
  kSwish,        // x / (1 + exp(-a * x))
  kTanh,         //
};

// y = f(x0, x1), number by number.
enum class BinaryFunction { kAdd, kSub, kMul, kDiv, kMin, kMax };

// One number out of a row.
enum class ReduceFunction { kMean, kSum, kMax, kMin };

enum class RowOpKind {
  kDense,       // y = x W + b; constants: W [I, O], b [O].
  kUnary,       // y = f(x)
  kBinary,      // y = f(x0, x1) of two rows of one width.
  kConstant,    // y = f(x, c); constants: c [F], or kMaxRows times that where it comes first.
  kLayerNorm,   // y = (x - mean) / sqrt(variance + epsilon) * s + t; constants: s [F], t [F].
  kSoftmax,     //
  kLogSoftmax,  //
  kReduce,      // To width 1.
};

// What a row primitive is made for, apart from the number of rows. What its kind
// does not name stays as it is here.
struct RowOp {
  static constexpr int64_t kMaxRows = 64;  // Of a primitive.

  RowOpKind kind = RowOpKind::kUnary;
  int64_t input_width = 1;
  int64_t output_width = 1;
  UnaryFunction unary = UnaryFunction::kAbs;
  BinaryFunction binary = BinaryFunction::kAdd;
  bool constant_first = false;  // f(c, x) instead.
  ReduceFunction reduce = ReduceFunction::kMean;
  float alpha = 0;
  float beta = 0;
  float epsilon = 0;

  // Some order, for maps.
  bool operator<(const RowOp& other) const {
    const auto tied = [](const RowOp& op) {
      return std::tie(op.kind, op.input_width, op.output_width, op.unary, op.binary, op.constant_first,
                      op.reduce, op.alpha, op.beta, op.epsilon);
    };
    return tied(*this) < tied(other);
  }
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_ROW_OP_H_

// The functions that oneDNN computes on rows of numbers, besides the GRU itself. A
// row's result depends on that row alone. Plain values.

#ifndef GRUSERVE_CORE_ENGINE_ROW_OP_H_
#define GRUSERVE_CORE_ENGINE_ROW_OP_H_

#include <cstdint>

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

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_ROW_OP_H_

#include "core/engine/gru_gates.h"

#include <cmath>

// Sixteen numbers at a time where the processor has such registers: asked of it
// here, since the program is built for all of its kind.
#ifdef __x86_64__
#define GRUSERVE_WIDE __attribute__((target("avx512f,fma")))
#else
#define GRUSERVE_WIDE
#endif
#define GRUSERVE_BOTH inline __attribute__((always_inline))

namespace gruserve {
namespace {

bool HasWideRegisters() {
#ifdef __x86_64__
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma");
  return has;
#else
  return false;
#endif
}

// The inner loops, of a fixed length, become vectors.
GRUSERVE_BOTH void Sum(int64_t count, const float* __restrict projection, const float* __restrict bias,
                       const float* __restrict product, float* __restrict sum) {
  for (int64_t first = 0; first < count; first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) sum[i] = projection[i] + bias[i] + product[i];
  }
}

GRUSERVE_BOTH void Candidate(int64_t count, const float* __restrict projection, const float* __restrict bias,
                             const float* __restrict product, const float* __restrict product_bias,
                             const float* __restrict reset, float* __restrict sum) {
  for (int64_t first = 0; first < count; first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) {
      sum[i] = std::fma(reset[i], product[i] + product_bias[i], projection[i] + bias[i]);
    }
  }
}

GRUSERVE_BOTH void Blend(int64_t count, const float* __restrict update, const float* __restrict before,
                         const float* __restrict candidate, float* __restrict after) {
  for (int64_t first = 0; first < count; first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) {
      after[i] = std::fma(1.0F - update[i], candidate[i], update[i] * before[i]);
    }
  }
}

GRUSERVE_WIDE void WideSum(int64_t count, const float* projection, const float* bias, const float* product,
                           float* sum) {
  Sum(count, projection, bias, product, sum);
}

GRUSERVE_WIDE void WideCandidate(int64_t count, const float* projection, const float* bias,
                                 const float* product, const float* product_bias, const float* reset,
                                 float* sum) {
  Candidate(count, projection, bias, product, product_bias, reset, sum);
}

GRUSERVE_WIDE void WideBlend(int64_t count, const float* update, const float* before, const float* candidate,
                             float* after) {
  Blend(count, update, before, candidate, after);
}

}  // namespace

void SumGate(int64_t count, const float* projection, const float* bias, const float* product, float* sum) {
  if (HasWideRegisters()) return WideSum(count, projection, bias, product, sum);
  Sum(count, projection, bias, product, sum);
}

void SumCandidate(int64_t count, const float* projection, const float* bias, const float* product,
                  const float* product_bias, const float* reset, float* sum) {
  if (HasWideRegisters()) {
    return WideCandidate(count, projection, bias, product, product_bias, reset, sum);
  }
  Candidate(count, projection, bias, product, product_bias, reset, sum);
}

void BlendState(int64_t count, const float* update, const float* before, const float* candidate,
                float* after) {
  if (HasWideRegisters()) return WideBlend(count, update, before, candidate, after);
  Blend(count, update, before, candidate, after);
}

}  // namespace gruserve

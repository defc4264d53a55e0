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

// Where the part that a fixed number of lanes does not fill begins.
GRUSERVE_BOTH int64_t Tail(int64_t count) { return count - count % kGateLanes; }

GRUSERVE_BOTH float Gate(float projection, float bias, float product) { return projection + bias + product; }

GRUSERVE_BOTH float Candidate(float projection, float bias, float product, float product_bias, float reset) {
  return std::fma(reset, product + product_bias, projection + bias);
}

GRUSERVE_BOTH float Blend(float update, float before, float candidate) {
  return std::fma(1.0F - update, candidate, update * before);
}

// The inner loops, of a fixed length, become vectors.
GRUSERVE_BOTH void Add(int64_t count, const float* __restrict addend, float* __restrict sum) {
  for (int64_t first = 0; first < Tail(count); first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) sum[i] += addend[i];
  }
  for (int64_t i = Tail(count); i < count; ++i) sum[i] += addend[i];
}

GRUSERVE_BOTH void Gates(int64_t count, const float* __restrict projection, const float* __restrict bias,
                         const float* __restrict product, float* __restrict sum) {
  for (int64_t first = 0; first < Tail(count); first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) sum[i] = Gate(projection[i], bias[i], product[i]);
  }
  for (int64_t i = Tail(count); i < count; ++i) sum[i] = Gate(projection[i], bias[i], product[i]);
}

GRUSERVE_BOTH void Candidates(int64_t count, const float* __restrict projection, const float* __restrict bias,
                              const float* __restrict product, const float* __restrict product_bias,
                              const float* __restrict reset, float* __restrict sum) {
  for (int64_t first = 0; first < Tail(count); first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) {
      sum[i] = Candidate(projection[i], bias[i], product[i], product_bias[i], reset[i]);
    }
  }
  for (int64_t i = Tail(count); i < count; ++i) {
    sum[i] = Candidate(projection[i], bias[i], product[i], product_bias[i], reset[i]);
  }
}

GRUSERVE_BOTH void Blends(int64_t count, const float* __restrict update, const float* __restrict before,
                          const float* __restrict candidate, float* __restrict after) {
  for (int64_t first = 0; first < Tail(count); first += kGateLanes) {
    for (int64_t i = first; i < first + kGateLanes; ++i) after[i] = Blend(update[i], before[i], candidate[i]);
  }
  for (int64_t i = Tail(count); i < count; ++i) after[i] = Blend(update[i], before[i], candidate[i]);
}

GRUSERVE_WIDE void WideAdd(int64_t count, const float* addend, float* sum) { Add(count, addend, sum); }

GRUSERVE_WIDE void WideGates(int64_t count, const float* projection, const float* bias, const float* product,
                             float* sum) {
  Gates(count, projection, bias, product, sum);
}

GRUSERVE_WIDE void WideCandidates(int64_t count, const float* projection, const float* bias,
                                  const float* product, const float* product_bias, const float* reset,
                                  float* sum) {
  Candidates(count, projection, bias, product, product_bias, reset, sum);
}

GRUSERVE_WIDE void WideBlends(int64_t count, const float* update, const float* before, const float* candidate,
                              float* after) {
  Blends(count, update, before, candidate, after);
}

}  // namespace

void AddTo(int64_t count, const float* addend, float* sum) {
  if (HasWideRegisters()) return WideAdd(count, addend, sum);
  Add(count, addend, sum);
}

void SumGate(int64_t count, const float* projection, const float* bias, const float* product, float* sum) {
  if (HasWideRegisters()) return WideGates(count, projection, bias, product, sum);
  Gates(count, projection, bias, product, sum);
}

void SumCandidate(int64_t count, const float* projection, const float* bias, const float* product,
                  const float* product_bias, const float* reset, float* sum) {
  if (HasWideRegisters()) {
    return WideCandidates(count, projection, bias, product, product_bias, reset, sum);
  }
  Candidates(count, projection, bias, product, product_bias, reset, sum);
}

void BlendState(int64_t count, const float* update, const float* before, const float* candidate,
                float* after) {
  if (HasWideRegisters()) return WideBlends(count, update, before, candidate, after);
  Blends(count, update, before, candidate, after);
}

}  // namespace gruserve

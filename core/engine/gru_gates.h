// The element-wise part of a GRU step, linear before reset, around its sigmoid and
// tanh: in the order, and with the fused products, of oneDNN's own kernels.
//
// Thread-safe: plain functions.

#ifndef GRUSERVE_CORE_ENGINE_GRU_GATES_H_
#define GRUSERVE_CORE_ENGINE_GRU_GATES_H_

#include <cstdint>

namespace gruserve {

// Numbers that one instruction takes where the processor has such registers.
constexpr int64_t kGateLanes = 16;

// sum += addend.
void AddTo(int64_t count, const float* addend, float* sum);

// sum = projection + bias + product.
void SumGate(int64_t count, const float* projection, const float* bias, const float* product, float* sum);

// sum = projection + bias + reset * (product + product_bias).
void SumCandidate(int64_t count, const float* projection, const float* bias, const float* product,
                  const float* product_bias, const float* reset, float* sum);

// after = update * before + (1 - update) * candidate.
void BlendState(int64_t count, const float* update, const float* before, const float* candidate,
                float* after);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_GATES_H_

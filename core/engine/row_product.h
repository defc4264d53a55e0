// Products of rows with a matrix of weights, by oneDNN's dnnl_sgemm, and of one row
// with the bits that it would have among others.
//
// For one row dnnl_sgemm reads the weights where they lie and adds from the first
// input to the last. For more it packs them, block of inputs by block, and adds the
// blocks' sums up. So the sums of blocks, made apart and added, are the same numbers,
// for less than two rows cost (ADR 22).
//
// Thread-safe: plain functions. Call them under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_ROW_PRODUCT_H_
#define GRUSERVE_CORE_ENGINE_ROW_PRODUCT_H_

#include <cstdint>

#include "absl/status/status.h"

namespace gruserve {

// A matrix [inputs, outputs] whose rows lie `stride` numbers apart.
struct WeightMatrix {
  const float* data = nullptr;
  int64_t inputs = 0;
  int64_t outputs = 0;
  int64_t stride = 0;
};

// The stride at which a matrix is read fastest, `outputs` and up to 31 more: its rows begin on
// cache lines, and not a multiple of 1 KiB apart, where they would share few sets of a cache
// (ADR 28).
int64_t WeightStride(int64_t outputs);

// products [rows, outputs] = src [rows, inputs] * matrix; rows of `products` lie
// `product_stride` numbers apart. Internal where oneDNN fails.
absl::Status MultiplyRows(int64_t rows, const float* src, const WeightMatrix& matrix, float* products,
                          int64_t product_stride);

// The same for one row, added up in blocks: of `block` inputs each, but what is left
// with less than two of them in two halves. 0: in one. `partial` is room for [outputs].
absl::Status MultiplyOneRow(const float* src, const WeightMatrix& matrix, int64_t block, float* product,
                            float* partial);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_ROW_PRODUCT_H_

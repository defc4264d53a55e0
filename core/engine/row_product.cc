#include "core/engine/row_product.h"

#include "core/base/aligned_buffer.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_compat.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_gates.h"

namespace gruserve {
namespace {

// Of dnnl_sgemm's own blocks of inputs the one that begins where `left` are to go.
int64_t NextBlock(int64_t left, int64_t block) {
  if (block == 0 || left <= block) return left;
  return left >= 2 * block ? block : (left + 1) / 2;
}

}  // namespace

int64_t WeightStride(int64_t outputs) {
  constexpr int64_t kCacheLine = AlignedBuffer::kAlignment / sizeof(float);
  constexpr int64_t kSharedSets = 256;
  const int64_t lines = RoundUp(outputs, kCacheLine);
  return lines % kSharedSets == 0 ? lines + kCacheLine : lines;
}

absl::Status MultiplyRows(int64_t rows, const float* src, const WeightMatrix& matrix, float* products,
                          int64_t product_stride) {
  return FromDnnlStatus("cannot multiply rows with weights",
                        dnnl_sgemm('N', 'N', rows, matrix.outputs, matrix.inputs, 1.0F, src, matrix.inputs,
                                   matrix.data, matrix.stride, 0.0F, products, product_stride));
}

absl::Status MultiplyOneRow(const float* src, const WeightMatrix& matrix, int64_t block, float* product,
                            float* partial) {
  WeightMatrix part = matrix;
  for (int64_t first = 0; first < matrix.inputs; first += part.inputs) {
    part.data = matrix.data + first * matrix.stride;
    part.inputs = NextBlock(matrix.inputs - first, block);
    float* const sums = first == 0 ? product : partial;
    GRUSERVE_RETURN_IF_ERROR(MultiplyRows(1, src + first, part, sums, matrix.outputs));
    if (first > 0) AddTo(matrix.outputs, partial, product);
  }
  return absl::OkStatus();
}

}  // namespace gruserve

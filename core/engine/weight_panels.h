// A matrix of weights for products of few rows, cut into panels of columns.
//
// What lies beyond the caches is read sooner so by one row: 18.6 MB (half of hidden 1760's
// recurrent weights) in 272 us as panels of 240 columns, in 372 as one matrix. For four
// rows it is no faster. The sum of each output is the same.
//
// Immutable, so thread-safe. Call it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_WEIGHT_PANELS_H_
#define GRUSERVE_CORE_ENGINE_WEIGHT_PANELS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/row_product.h"

namespace gruserve {

class WeightPanels {
 public:
  // Copies the columns of all `parts`, one after the other. REQUIRES: at least one, and
  // all of as many inputs.
  explicit WeightPanels(std::span<const WeightMatrix> parts);

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  // Columns of every panel but the last, which may have fewer.
  int64_t width() const { return width_; }

  // products [rows, outputs] = src [rows, inputs] * the matrix. One row as MultiplyOneRow,
  // with `lone_row_block` and `partial`, room for [outputs]. Internal where oneDNN fails.
  absl::Status Multiply(int64_t rows, const float* src, int64_t lone_row_block, float* products,
                        float* partial) const;

 private:
  // Where the panel begins whose first column is `first`.
  int64_t PanelOffset(int64_t first) const { return first / width_ * inputs_ * stride_; }

  int64_t inputs_ = 0;
  int64_t outputs_ = 0;
  int64_t width_ = 0;
  int64_t stride_ = 0;
  AlignedBuffer numbers_;  // Panel after panel, [inputs, width_] of that stride.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_WEIGHT_PANELS_H_

#include "core/engine/weight_panels.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/base/rounding.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

// What a processor's caches hold is read as fast in one panel, and with fewer calls.
constexpr int64_t kOnePanelBytes = int64_t{8} << 20;
// Measured from 16 to 880 columns of hidden 1760, one row: 176 and 240 were the fastest.
constexpr int64_t kMaxWidth = 256;
// Numbers of a cache line.
constexpr int64_t kWidthGrain = 16;

int64_t ChooseWidth(int64_t inputs, int64_t outputs) {
  if (inputs * outputs * static_cast<int64_t>(sizeof(float)) <= kOnePanelBytes) return outputs;
  return RoundUp(CeilDivide(outputs, CeilDivide(outputs, kMaxWidth)), kWidthGrain);
}

}  // namespace

WeightPanels::WeightPanels(std::span<const WeightMatrix> parts) : inputs_(parts.front().inputs) {
  for (const WeightMatrix& part : parts) outputs_ += part.outputs;
  width_ = ChooseWidth(inputs_, outputs_);
  stride_ = WeightStride(width_);
  numbers_ = AlignedBuffer(CeilDivide(outputs_, width_) * inputs_ * stride_);
  int64_t column = 0;
  for (const WeightMatrix& part : parts) {
    for (int64_t from = 0; from < part.outputs;) {
      const int64_t first = column / width_ * width_;  // Of the panel that the column is in.
      const int64_t count = std::min(part.outputs - from, first + width_ - column);
      float* target = numbers_.data() + PanelOffset(first) + (column - first);
      for (int64_t row = 0; row < inputs_; ++row, target += stride_) {
        std::memcpy(target, part.data + row * part.stride + from, static_cast<size_t>(count) * sizeof(float));
      }
      from += count;
      column += count;
    }
  }
}

absl::Status WeightPanels::Multiply(int64_t rows, const float* src, int64_t lone_row_block, float* products,
                                    float* partial) const {
  for (int64_t first = 0; first < outputs_; first += width_) {
    const int64_t columns = std::min(width_, outputs_ - first);
    const WeightMatrix panel = {numbers_.data() + PanelOffset(first), inputs_, columns, stride_};
    GRUSERVE_RETURN_IF_ERROR(rows == 1 ? MultiplyOneRow(src, panel, lone_row_block, products + first, partial)
                                       : MultiplyRows(rows, src, panel, products + first, outputs_));
  }
  return absl::OkStatus();
}

}  // namespace gruserve

#include "core/engine/column_projections.h"

#include <bit>
#include <cstddef>

#include "core/base/status_macros.h"

namespace gruserve {

ColumnProjections::ColumnProjections(const GruColumns& columns, int64_t max_batch_size) {
  for (Piece& piece : pieces_) {
    piece.numbers = AlignedBuffer(GruColumns::kMaxProjectedSteps * max_batch_size * 3 * columns.block_size());
  }
}

void ColumnProjections::Begin(const GruColumns& columns, const GruLayerWeights& weights, int64_t batch_size) {
  columns_ = &columns;
  weights_ = &weights;
  batch_size_ = batch_size;
  for (Piece& piece : pieces_) piece.begin = piece.end = 0;
}

absl::StatusOr<const float*> ColumnProjections::At(int block, int64_t t, int64_t time_steps,
                                                   const float* src_layer, GruColumns::Workspace& workspace) {
  Piece& piece = pieces_[static_cast<size_t>(block)];
  if (t < piece.begin || t >= piece.end) {
    constexpr int64_t kMax = GruColumns::kMaxProjectedSteps;
    const int64_t left = time_steps - t;
    piece.begin = piece.end = t;
    const int64_t steps =
        left >= kMax ? kMax : static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(left)));
    GRUSERVE_RETURN_IF_ERROR(columns_->Project(*weights_, block, steps * batch_size_,
                                               src_layer + t * batch_size_ * columns_->input_size(),
                                               piece.numbers.data(), workspace));
    piece.end = t + steps;
  }
  return piece.numbers.data() + (t - piece.begin) * batch_size_ * 3 * columns_->block_size();
}

}  // namespace gruserve

// What a sequence's inputs add to the gates of both blocks of a GruColumns, made
// some steps at a time: 16, and at the end 8, 4, 2 and 1, since these are tried.
//
// One thread's. What it reads must outlive it.

#ifndef GRUSERVE_CORE_ENGINE_COLUMN_PROJECTIONS_H_
#define GRUSERVE_CORE_ENGINE_COLUMN_PROJECTIONS_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/gru_columns.h"

namespace gruserve {

class ColumnProjections {
 public:
  // Room for `max_batch_size` rows of layers of the shape of `columns`.
  ColumnProjections(const GruColumns& columns, int64_t max_batch_size);

  // Begins another sequence. REQUIRES: batch_size <= max_batch_size.
  void Begin(const GruColumns& columns, const GruLayerWeights& weights, int64_t batch_size);

  // REQUIRES: begun. For GruColumns::Step at step `t` of the `time_steps` in `src_layer` [T, N, I], made in
  // `workspace`. Valid until the next call for `block`. Internal where oneDNN fails.
  absl::StatusOr<const float*> At(int block, int64_t t, int64_t time_steps, const float* src_layer,
                                  GruColumns::Workspace& workspace);

 private:
  struct Piece {
    int64_t begin = 0;
    int64_t end = 0;
    AlignedBuffer numbers;  // [end - begin, N, 3, block_size]
  };

  const GruColumns* columns_ = nullptr;
  const GruLayerWeights* weights_ = nullptr;
  int64_t batch_size_ = 0;
  std::array<Piece, GruColumns::kBlocks> pieces_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_COLUMN_PROJECTIONS_H_

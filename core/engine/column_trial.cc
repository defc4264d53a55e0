#include "core/engine/column_trial.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/column_projections.h"
#include "core/engine/gru_columns.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/layer_kernel.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

constexpr int64_t kSteps = 2 * GruColumns::kMaxProjectedSteps - 1;
// Of each bucket. Rounding to bf16 hides gates that are fused in another way in all but one of
// 100,000 values and more (oneDNN 3.7.2).
constexpr int64_t kBf16ValuesCompared = int64_t{1} << 20;

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

class ColumnTrial {
 public:
  explicit ColumnTrial(const GruLayerShape& shape)
      : shape_(shape),
        plain_(RandomWeights(random_, shape.input_size, shape.hidden_size,
                             1.0F / std::sqrt(static_cast<float>(shape.hidden_size)))) {}

  // Whether the bits are equal. Once.
  absl::StatusOr<bool> Run(std::span<const Bucket> buckets, const SummationOrder& order) {
    // Not every oneDNN reads one layout of bf16 weights for every number of rows.
    absl::StatusOr<std::unique_ptr<const GruColumns>> columns = GruColumns::Create(shape_, plain_, order);
    if (!columns.ok()) return false;
    columns_ = *std::move(columns);
    GRUSERVE_ASSIGN_OR_RETURN(weights_, LayOutWeights(shape_, std::move(plain_)));
    GRUSERVE_ASSIGN_OR_RETURN(GruColumns::Workspace workspace, GruColumns::Workspace::Create(*columns_));
    for (const Bucket& bucket : buckets) {
      if (bucket.time_steps > 1 || bucket.batch_size > GruColumns::kMaxBatchSize) continue;
      for (int64_t round = 0; round < Rounds(bucket); ++round) {
        GRUSERVE_ASSIGN_OR_RETURN(const bool equal, Try(bucket, workspace));
        if (!equal) return false;
      }
    }
    return true;
  }

 private:
  int64_t Rounds(const Bucket& step) const {
    if (shape_.dtype == ComputeDtype::kF32) return 1;
    return CeilDivide(kBf16ValuesCompared, kSteps * step.batch_size * shape_.hidden_size);
  }

  // Compares a sequence that has each length of projection once.
  absl::StatusOr<bool> Try(const Bucket& step, GruColumns::Workspace& workspace) {
    const int64_t batch = step.batch_size;
    const int64_t size = batch * shape_.hidden_size;
    GRUSERVE_ASSIGN_OR_RETURN(LayerKernel kernel, LayerKernel::Create(shape_, step));
    Scratchpad scratchpad(kernel.scratchpad_bytes());
    const AlignedBuffer src_layer = RandomBuffer(random_, kSteps * batch * shape_.input_size, 1.0F);
    AlignedBuffer state = RandomBuffer(random_, size, 1.0F);
    AlignedBuffer expected(size);
    AlignedBuffer got(size);
    AlignedBuffer src(batch * shape_.input_size);
    ColumnProjections projections(*columns_, batch);
    projections.Begin(*columns_, weights_, batch);
    for (int64_t t = 0; t < kSteps; ++t) {
      std::memcpy(src.data(), src_layer.data() + t * src.size(), FloatBytes(src.size()));
      GRUSERVE_RETURN_IF_ERROR(kernel.Run({.weights = &weights_,
                                           .src_layer = src.data(),
                                           .src_iter = state.data(),
                                           .dst_layer = expected.data(),
                                           .scratchpad = scratchpad.data()}));
      for (int block = 0; block < GruColumns::kBlocks; ++block) {
        GRUSERVE_ASSIGN_OR_RETURN(const float* const projection,
                                  projections.At(block, t, kSteps, src_layer.data(), workspace));
        GRUSERVE_RETURN_IF_ERROR(
            columns_->Step(weights_, block, batch, projection, state.data(), got.data(), workspace));
      }
      if (std::memcmp(expected.data(), got.data(), FloatBytes(size)) != 0) return false;
      std::swap(state, expected);
    }
    return true;
  }

  const GruLayerShape shape_;
  std::mt19937 random_;  // The default seed: the same trial everywhere.
  GruLayerWeights plain_;
  GruLayerWeights weights_;
  std::unique_ptr<const GruColumns> columns_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const SummationOrder>> FindColumnOrder(const GruLayerShape& shape,
                                                                      std::span<const Bucket> buckets) {
  if (!GruColumns::Fits(shape)) return nullptr;
  const SingleOmpThread single_thread;
  GRUSERVE_ASSIGN_OR_RETURN(SummationOrder order, FindSummationOrder(shape, buckets));
  GRUSERVE_ASSIGN_OR_RETURN(const bool equal, ColumnTrial(shape).Run(buckets, order));
  if (!equal) return nullptr;
  return std::make_shared<const SummationOrder>(std::move(order));
}

}  // namespace gruserve

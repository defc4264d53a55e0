#include "core/model/column_slice_pool.h"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"
#include "core/model/column_slice.h"
#include "core/model/model.h"
#include "core/model/sequence_split.h"

namespace gruserve {
namespace {

// Of one shape: what two calls on two workers each use at a time.
constexpr size_t kMostKept = 4;

}  // namespace

struct ColumnSlicePool::Kept {
  absl::Mutex mu;
  // By shape of layer.
  std::array<std::vector<std::unique_ptr<ColumnSlice>>, 2> slices ABSL_GUARDED_BY(mu);

  std::unique_ptr<ColumnSlice> Take(size_t shape) ABSL_LOCKS_EXCLUDED(mu) {
    const absl::MutexLock lock(&mu);
    if (slices[shape].empty()) return nullptr;
    std::unique_ptr<ColumnSlice> slice = std::move(slices[shape].back());
    slices[shape].pop_back();
    return slice;
  }

  void Give(size_t shape, std::unique_ptr<ColumnSlice> slice) ABSL_LOCKS_EXCLUDED(mu) {
    slice->Detach();
    const absl::MutexLock lock(&mu);
    if (slices[shape].size() < kMostKept) slices[shape].push_back(std::move(slice));
  }
};

ColumnSlicePool::ColumnSlicePool() : kept_(std::make_shared<Kept>()) {}

absl::StatusOr<std::shared_ptr<ColumnSlice>> ColumnSlicePool::Take(const std::shared_ptr<const Model>& model,
                                                                   int64_t layer) {
  const size_t shape = model->shape_index(layer);
  std::unique_ptr<ColumnSlice> slice = kept_->Take(shape);
  if (slice == nullptr) {
    GRUSERVE_ASSIGN_OR_RETURN(
        slice, ColumnSlice::Create(*model, layer, MaxColumnSteps(*model), GruColumns::kMaxBatchSize));
  }
  slice->Attach(model);
  return std::shared_ptr<ColumnSlice>(slice.release(), [kept = kept_, shape](ColumnSlice* released) {
    kept->Give(shape, std::unique_ptr<ColumnSlice>(released));
  });
}

}  // namespace gruserve

// Slices of columns for the runs of one model, kept from one to the next: what they are made
// of, memory and oneDNN's objects, costs a short call some percent of its time.
//
// A slice comes back when its last holder lets go of it, whoever that is. One that is kept
// holds no model, so that a model can hold its pool. Thread-safe; under its lock no other is
// taken, so that a slice may be let go of under any.

#ifndef GRUSERVE_CORE_MODEL_COLUMN_SLICE_POOL_H_
#define GRUSERVE_CORE_MODEL_COLUMN_SLICE_POOL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace gruserve {

class ColumnSlice;
class Model;

class ColumnSlicePool {
 public:
  ColumnSlicePool();

  // A slice for layers of the shape of `layer` (0 or more) of `model`, whose pool this is, with
  // room for MaxColumnSteps (sequence_split.h) of as many rows as columns may have. Internal
  // where oneDNN fails.
  absl::StatusOr<std::shared_ptr<ColumnSlice>> Take(const std::shared_ptr<const Model>& model, int64_t layer);

 private:
  struct Kept;
  const std::shared_ptr<Kept> kept_;  // Shared with the slices under way, which may outlive the pool.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_COLUMN_SLICE_POOL_H_

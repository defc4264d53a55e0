// The numbers of rows for which a row op's primitives are made: only such as give a
// row the same bits, in every place and beside any others. Found by trial, since a
// matrix product may add in another order for another number of rows.

#ifndef GRUSERVE_CORE_ENGINE_ROW_BATCHES_H_
#define GRUSERVE_CORE_ENGINE_ROW_BATCHES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/row_op.h"

namespace gruserve {

// Rising, at least one, at most RowOp::kMaxRows. The answer is remembered for the process:
// a second call with the same op is free. Slow for a large matrix. Internal where
// oneDNN fails. Thread-safe.
absl::StatusOr<std::shared_ptr<const std::vector<int64_t>>> ChooseRowBatches(const RowOp& op);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_ROW_BATCHES_H_

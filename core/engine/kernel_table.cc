#include "core/engine/kernel_table.h"

#include <algorithm>

#include "core/base/status_macros.h"

namespace gruserve {

absl::StatusOr<KernelTable> KernelTable::Create(const GruLayerShape& shape, std::span<const Bucket> buckets) {
  std::vector<LayerKernel> kernels;
  kernels.reserve(buckets.size());
  int64_t scratchpad_bytes = 0;
  for (const Bucket& bucket : buckets) {
    GRUSERVE_ASSIGN_OR_RETURN(LayerKernel kernel, LayerKernel::Create(shape, bucket));
    scratchpad_bytes = std::max(scratchpad_bytes, kernel.scratchpad_bytes());
    kernels.push_back(std::move(kernel));
  }
  return KernelTable(std::move(kernels), scratchpad_bytes);
}

}  // namespace gruserve

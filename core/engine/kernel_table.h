// The kernels of one layer shape, one a bucket. Made at load.
//
// Not thread-safe: one worker owns it. Make and run it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_KERNEL_TABLE_H_
#define GRUSERVE_CORE_ENGINE_KERNEL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/layer_kernel.h"

namespace gruserve {

class KernelTable {
 public:
  // Internal where oneDNN fails.
  static absl::StatusOr<KernelTable> Create(const GruLayerShape& shape, std::span<const Bucket> buckets);

  // Enough for any of its kernels.
  int64_t scratchpad_bytes() const { return scratchpad_bytes_; }

  // Runs the kernel of the bucket at `index` of Create's buckets.
  absl::Status Run(size_t index, const GruArguments& arguments) { return kernels_[index].Run(arguments); }

 private:
  KernelTable(std::vector<LayerKernel> kernels, int64_t scratchpad_bytes)
      : kernels_(std::move(kernels)), scratchpad_bytes_(scratchpad_bytes) {}

  std::vector<LayerKernel> kernels_;
  int64_t scratchpad_bytes_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_KERNEL_TABLE_H_

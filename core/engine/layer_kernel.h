// What computes one bucket of a layer shape: oneDNN's recurrent primitive, or for a
// lone row with other bits there, products (lone_row.h). Not thread-safe. Make and run
// it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_LAYER_KERNEL_H_
#define GRUSERVE_CORE_ENGINE_LAYER_KERNEL_H_

#include <cstdint>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/engine/bucket.h"
#include "core/engine/gru_primitive.h"
#include "core/engine/lone_row.h"

namespace gruserve {

class LayerKernel {
 public:
  // As GruPrimitive::Create. REQUIRES: LoneRow::Fits(shape) where the bucket wants one.
  static absl::StatusOr<LayerKernel> Create(const GruLayerShape& shape, const Bucket& bucket) {
    if (bucket.lone_row_block > 0) {
      GRUSERVE_ASSIGN_OR_RETURN(LoneRow row, LoneRow::Create(shape, bucket));
      return LayerKernel(std::move(row));
    }
    GRUSERVE_ASSIGN_OR_RETURN(GruPrimitive primitive, GruPrimitive::Create(shape, bucket));
    return LayerKernel(std::move(primitive));
  }

  int64_t scratchpad_bytes() const {
    return std::visit([](const auto& kernel) { return kernel.scratchpad_bytes(); }, kernel_);
  }

  absl::Status Run(const GruArguments& arguments) {
    return std::visit([&arguments](auto& kernel) { return kernel.Run(arguments); }, kernel_);
  }

 private:
  explicit LayerKernel(std::variant<GruPrimitive, LoneRow> kernel) : kernel_(std::move(kernel)) {}

  std::variant<GruPrimitive, LoneRow> kernel_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_LAYER_KERNEL_H_

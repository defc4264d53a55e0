// One oneDNN primitive: one GRU layer, left to right, for one bucket.
//
// Weights, scratchpad and data are handed in at each run, so one primitive serves
// every layer and direction of its shape. Not thread-safe. Make and run it under
// SingleOmpThread.
//
// All data is f32 on the outside. A bf16 primitive rounds what comes in, and what
// goes out is exact in bf16: so one result fed back as the next call's state is
// the same state, and T steps in one call are T calls of one step.

#ifndef GRUSERVE_CORE_ENGINE_GRU_PRIMITIVE_H_
#define GRUSERVE_CORE_ENGINE_GRU_PRIMITIVE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/gru_layer_weights.h"

namespace gruserve {

// 64-byte aligned arrays (an AlignedBuffer's start); none overlaps another.
struct GruArguments {
  const GruLayerWeights* weights = nullptr;  // As LayOutWeights gave them.
  const float* src_layer = nullptr;          // tnc: [T, N, I]
  const float* src_iter = nullptr;           // nc: [N, H], the state before the first step.
  float* dst_layer = nullptr;                // tnc: [T, N, H]; its last step is the state after.
  void* scratchpad = nullptr;                // scratchpad_bytes() bytes.
};

class GruPrimitive {
 public:
  // Internal where oneDNN has no such primitive; FailedPrecondition where this bucket
  // cannot read the one copy of the weights (LayOutWeights) that the others share.
  static absl::StatusOr<GruPrimitive> Create(const GruLayerShape& shape, const Bucket& bucket);

  GruPrimitive(GruPrimitive&&) noexcept;
  GruPrimitive& operator=(GruPrimitive&&) noexcept;
  ~GruPrimitive();

  int64_t scratchpad_bytes() const;

  // Allocates nothing itself (oneDNN 2.6 and 3.x do, for their argument map).
  absl::Status Run(const GruArguments& arguments);

 private:
  struct Rep;
  explicit GruPrimitive(std::unique_ptr<Rep> rep);

  std::unique_ptr<Rep> rep_;
};

// Version and instruction set of the oneDNN that runs here: "oneDNN 2.6.3 isa 0x6f".
std::string DnnlFingerprint();

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_PRIMITIVE_H_

// One row op on oneDNN for a fixed number of rows.
//
// Constants, scratchpad and data are handed in at each run, so one primitive serves
// every node of its op. Not thread-safe. Make and run it under SingleOmpThread.
//
// A NaN or an infinity in a row has the effect that PyTorch gives it, and none on
// another row: oneDNN's vector code loses a NaN here and there, so it is put back.

#ifndef GRUSERVE_CORE_ENGINE_ROW_PRIMITIVE_H_
#define GRUSERVE_CORE_ENGINE_ROW_PRIMITIVE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/row_op.h"

namespace gruserve {

// The trained numbers of one node. Immutable once filled, shared by all workers.
struct RowConstants {
  AlignedBuffer first;   // Dense: W [I, O]. Constant: c, as RowOpKind says. LayerNorm: the scale [F].
  AlignedBuffer second;  // Dense: b [O]. LayerNorm: the shift [F].
};

// 64-byte aligned arrays; dst overlaps no other.
struct RowArguments {
  const RowConstants* constants = nullptr;  // Where the op has any.
  const float* src = nullptr;               // [N, I]
  const float* second = nullptr;            // [N, I], of a kBinary.
  float* dst = nullptr;                     // [N, O]
  void* scratchpad = nullptr;               // scratchpad_bytes() bytes.
};

class RowPrimitive {
 public:
  // Internal where oneDNN has no such primitive. REQUIRES: widths of at least 1 that
  // suit the kind, and 1 to RowOp::kMaxRows rows.
  static absl::StatusOr<RowPrimitive> Create(const RowOp& op, int64_t rows);

  RowPrimitive(RowPrimitive&&) noexcept;
  RowPrimitive& operator=(RowPrimitive&&) noexcept;
  ~RowPrimitive();

  int64_t rows() const;
  int64_t scratchpad_bytes() const;

  absl::Status Run(const RowArguments& arguments);

 private:
  struct Rep;
  explicit RowPrimitive(std::unique_ptr<Rep> rep);

  std::unique_ptr<Rep> rep_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_ROW_PRIMITIVE_H_

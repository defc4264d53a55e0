// What one worker needs to run a row program: primitives, a scratchpad, and for every
// value of the program room for 64 rows. Made at load; running allocates nothing.
//
// Not thread-safe. Make and run it under SingleOmpThread.

#ifndef GRUSERVE_CORE_NETWORK_ROW_MACHINE_H_
#define GRUSERVE_CORE_NETWORK_ROW_MACHINE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/scratchpad.h"
#include "core/network/row_program.h"

namespace gruserve {

class RowMachine {
 public:
  static constexpr int64_t kMaxRows = RowOp::kMaxRows;

  // `program` must outlive the machine. Internal where oneDNN fails.
  static absl::StatusOr<std::unique_ptr<RowMachine>> Create(const RowProgram& program);

  // [kMaxRows, width] of a value.
  float* value(ValueId value) { return values_[static_cast<size_t>(value)].data(); }
  int64_t width(ValueId value) const { return program_.width(value); }

  // Runs instructions [first, last) on the first `rows` rows of each value. A row's
  // bits depend on that row alone. REQUIRES: 1 <= rows <= kMaxRows.
  absl::Status Run(size_t first, size_t last, int64_t rows);

 private:
  explicit RowMachine(const RowProgram& program) : program_(program) {}

  absl::Status MakePrimitives(const RowInstruction& instruction);
  absl::Status RunInParts(const RowInstruction& instruction, RowPrimitive& primitive, int64_t rows);
  void Copy(const RowInstruction& instruction, int64_t rows);
  void Gather(const RowInstruction& instruction, int64_t rows);

  const RowProgram& program_;
  std::map<RowOp, std::vector<RowPrimitive>> primitives_;  // Rising rows.
  // Of each instruction; null where it has none.
  std::vector<std::vector<RowPrimitive>*> primitives_of_;
  Scratchpad scratchpad_;
  std::vector<AlignedBuffer> values_;
  std::array<AlignedBuffer, 3> parts_;  // Where rows must run in several calls: x0, x1, y.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_ROW_MACHINE_H_

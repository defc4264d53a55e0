// The row ops of a graph, made ready to run: constants in oneDNN's layout, and for
// each op the numbers of rows that give a row equal bits.
//
// Immutable once filled, shared by all workers; row_machine.h runs it.

#ifndef GRUSERVE_CORE_NETWORK_ROW_PROGRAM_H_
#define GRUSERVE_CORE_NETWORK_ROW_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "core/base/aligned_buffer.h"
#include "core/engine/row_op.h"
#include "core/engine/row_primitive.h"
#include "core/network/graph.h"

namespace gruserve {

// One instruction. Reads and writes values of its program.
struct RowInstruction {
  enum class Kind {
    kPrimitive,  // `op` on inputs[0] (and inputs[1] for a kBinary).
    kConcat,     // The inputs, one after the other.
    kSlice,      // From feature `begin` on.
    kExpand,     // The one feature of the input, as often as the output is wide.
    kGather,     // A row of `table`. All NaN where the index is no row of it.
    kOneHot,     // As kGather.
  };

  Kind kind = Kind::kPrimitive;
  std::vector<ValueId> inputs;
  ValueId output = 0;
  RowOp op;
  RowConstants constants;
  std::shared_ptr<const std::vector<int64_t>> batches;  // Of a kPrimitive: rows it may run with.
  int64_t begin = 0;
  int64_t table_rows = 0;
  AlignedBuffer table;
};

class RowProgram {
 public:
  // A program of the values with these widths.
  explicit RowProgram(std::vector<int64_t> widths = {}, std::vector<RowInstruction> instructions = {})
      : widths_(std::move(widths)), instructions_(std::move(instructions)) {}

  // Appends what `node` does, which must be a row op of a checked graph, with its
  // result in value `output`. Slow where a matrix is large
  // (row_batches.h). Internal where oneDNN fails.
  absl::Status Append(const GraphNode& node, ValueId output);

  const std::vector<RowInstruction>& instructions() const { return instructions_; }
  int64_t width(ValueId value) const { return widths_[static_cast<size_t>(value)]; }
  // The graph's, and those in between.
  int64_t num_values() const { return static_cast<int64_t>(widths_.size()); }
  // About how many floating-point operations instructions [first, last) cost a row.
  double FlopsPerRow(size_t first, size_t last) const;
  // A hash of the rows that instructions may run with, for a kernel fingerprint.
  uint64_t HashBatches(uint64_t hash) const;

 private:
  absl::Status AppendPrimitive(RowOp op, RowConstants constants, std::vector<ValueId> inputs, ValueId output);
  // The value, or a copy of it, of that width.
  ValueId Expanded(ValueId value, int64_t width);

  absl::Status AppendOp(const DenseNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const UnaryNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const BinaryNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const LayerNormNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const SoftmaxNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const ReduceNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const ConcatNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const SliceNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const EmbeddingNode& op, const std::vector<ValueId>& inputs, ValueId output);
  absl::Status AppendOp(const OneHotNode& op, const std::vector<ValueId>& inputs, ValueId output);
  template <typename Recurrent>
  absl::Status AppendOp(const Recurrent&, const std::vector<ValueId>&, ValueId);

  std::vector<int64_t> widths_;
  std::vector<RowInstruction> instructions_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_ROW_PROGRAM_H_

#include "core/network/row_program.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/row_batches.h"

namespace gruserve {
namespace {

AlignedBuffer Aligned(const std::vector<float>& numbers) {
  AlignedBuffer buffer(static_cast<int64_t>(numbers.size()));
  std::copy(numbers.begin(), numbers.end(), buffer.data());
  return buffer;
}

// `count` times `numbers`, or that where they are fewer: a scalar becomes a row.
AlignedBuffer Repeated(const std::vector<float>& numbers, int64_t count) {
  AlignedBuffer buffer(count);
  for (int64_t i = 0; i < count; ++i) buffer.data()[i] = numbers[static_cast<size_t>(i) % numbers.size()];
  return buffer;
}

AlignedBuffer OrFilled(const std::vector<float>& numbers, int64_t count, float otherwise) {
  return numbers.empty() ? Repeated({otherwise}, count) : Aligned(numbers);
}

}  // namespace

absl::Status RowProgram::Append(const GraphNode& node, ValueId output) {
  return std::visit([&](const auto& op) { return AppendOp(op, node.inputs, output); }, node.op);
}

template <typename Recurrent>
absl::Status RowProgram::AppendOp(const Recurrent&, const std::vector<ValueId>&, ValueId) {
  return absl::InternalError("a recurrent node is no row op");
}

absl::Status RowProgram::AppendPrimitive(RowOp op, RowConstants constants, std::vector<ValueId> inputs,
                                         ValueId output) {
  op.input_width = width(inputs.front());
  op.output_width = width(output);
  GRUSERVE_ASSIGN_OR_RETURN(auto batches, ChooseRowBatches(op));
  instructions_.push_back({.inputs = std::move(inputs),
                           .output = output,
                           .op = op,
                           .constants = std::move(constants),
                           .batches = std::move(batches)});
  return absl::OkStatus();
}

absl::Status RowProgram::AppendOp(const DenseNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  const int64_t rows = op.output_width;
  const int64_t columns = width(inputs[0]);
  RowConstants constants{.first = AlignedBuffer(rows * columns), .second = OrFilled(op.bias, rows, 0)};
  for (int64_t row = 0; row < rows; ++row) {
    const float* const source = op.weight.data() + row * columns;
    for (int64_t column = 0; column < columns; ++column)
      constants.first.data()[column * rows + row] = source[column];
  }
  return AppendPrimitive({.kind = RowOpKind::kDense}, std::move(constants), inputs, output);
}

absl::Status RowProgram::AppendOp(const UnaryNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  return AppendPrimitive(
      {.kind = RowOpKind::kUnary, .unary = op.function, .alpha = op.alpha, .beta = op.beta}, {}, inputs,
      output);
}

ValueId RowProgram::Expanded(ValueId value, int64_t wanted) {
  if (width(value) == wanted) return value;
  const ValueId expanded = num_values();
  widths_.push_back(wanted);
  instructions_.push_back({.kind = RowInstruction::Kind::kExpand, .inputs = {value}, .output = expanded});
  return expanded;
}

absl::Status RowProgram::AppendOp(const BinaryNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  const int64_t features = width(output);
  if (op.constant.empty()) {
    std::vector<ValueId> operands = {Expanded(inputs[0], features), Expanded(inputs[1], features)};
    return AppendPrimitive({.kind = RowOpKind::kBinary, .binary = op.function}, {}, std::move(operands),
                           output);
  }
  const int64_t rows = op.constant_first ? RowOp::kMaxRows : 1;
  RowConstants constants{.first = Repeated(op.constant, rows * features), .second = {}};
  return AppendPrimitive(
      {.kind = RowOpKind::kConstant, .binary = op.function, .constant_first = op.constant_first},
      std::move(constants), inputs, output);
}

absl::Status RowProgram::AppendOp(const LayerNormNode& op, const std::vector<ValueId>& inputs,
                                  ValueId output) {
  const int64_t features = width(output);
  RowConstants constants{.first = OrFilled(op.scale, features, 1), .second = OrFilled(op.shift, features, 0)};
  return AppendPrimitive({.kind = RowOpKind::kLayerNorm, .epsilon = op.epsilon}, std::move(constants), inputs,
                         output);
}

absl::Status RowProgram::AppendOp(const SoftmaxNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  return AppendPrimitive({.kind = op.log ? RowOpKind::kLogSoftmax : RowOpKind::kSoftmax}, {}, inputs, output);
}

absl::Status RowProgram::AppendOp(const ReduceNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  // Of one number it is that number, which oneDNN takes for no reduction.
  if (width(inputs[0]) == 1) return AppendOp(SliceNode{.begin = 0, .width = 1}, inputs, output);
  return AppendPrimitive({.kind = RowOpKind::kReduce, .reduce = op.function}, {}, inputs, output);
}

absl::Status RowProgram::AppendOp(const ConcatNode&, const std::vector<ValueId>& inputs, ValueId output) {
  instructions_.push_back({.kind = RowInstruction::Kind::kConcat, .inputs = inputs, .output = output});
  return absl::OkStatus();
}

absl::Status RowProgram::AppendOp(const SliceNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  instructions_.push_back(
      {.kind = RowInstruction::Kind::kSlice, .inputs = inputs, .output = output, .begin = op.begin});
  return absl::OkStatus();
}

absl::Status RowProgram::AppendOp(const EmbeddingNode& op, const std::vector<ValueId>& inputs,
                                  ValueId output) {
  instructions_.push_back({.kind = RowInstruction::Kind::kGather,
                           .inputs = inputs,
                           .output = output,
                           .table_rows = op.rows,
                           .table = Aligned(op.table)});
  return absl::OkStatus();
}

absl::Status RowProgram::AppendOp(const OneHotNode& op, const std::vector<ValueId>& inputs, ValueId output) {
  instructions_.push_back(
      {.kind = RowInstruction::Kind::kOneHot, .inputs = inputs, .output = output, .table_rows = op.depth});
  return absl::OkStatus();
}

double RowProgram::FlopsPerRow(size_t first, size_t last) const {
  constexpr double kPerNumber = 16;  // What a number costs where it is no product.
  double flops = 0;
  for (size_t i = first; i < last; ++i) {
    const RowInstruction& instruction = instructions_[i];
    const auto features = static_cast<double>(width(instruction.output));
    const bool dense =
        instruction.kind == RowInstruction::Kind::kPrimitive && instruction.op.kind == RowOpKind::kDense;
    flops += features * (dense ? 2 * static_cast<double>(instruction.op.input_width) : kPerNumber);
  }
  return flops;
}

uint64_t RowProgram::HashBatches(uint64_t hash) const {
  for (const RowInstruction& instruction : instructions_) {
    if (instruction.batches == nullptr) continue;
    for (const int64_t rows : *instruction.batches)
      hash = (hash ^ static_cast<uint64_t>(rows)) * 0x100000001b3;  // FNV-1a.
    hash = (hash ^ 0xFF) * 0x100000001b3;
  }
  return hash;
}

}  // namespace gruserve

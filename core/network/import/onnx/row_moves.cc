#include "core/network/import/onnx/row_moves.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

constexpr size_t kMaxRuns = 1024;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// Features of `rows` at `positions`, of which some follow one another.
absl::StatusOr<ValueId> Pick(const OnnxNode& node, OnnxScope& scope, ValueId rows,
                             const std::vector<int64_t>& positions) {
  const auto width = static_cast<int64_t>(positions.size());
  if (scope.width(rows) == 1 && width > 1) {
    const std::vector<float> ones(positions.size(), 1.0F);
    return scope.Append(node.name, DenseNode{.output_width = width, .weight = ones, .bias = {}}, {rows},
                        width);
  }
  std::vector<std::pair<int64_t, int64_t>> runs;  // First position, width.
  for (const int64_t position : positions) {
    if (!runs.empty() && position == runs.back().first + runs.back().second)
      ++runs.back().second;
    else
      runs.emplace_back(position, 1);
    if (runs.size() > kMaxRuns)
      return Bad(absl::StrCat("puts features in another order, in more than ", kMaxRuns, " pieces"));
  }
  if (runs.size() == 1 && runs[0].second == scope.width(rows)) return rows;
  std::vector<ValueId> pieces;
  for (const auto& [begin, count] : runs) {
    GRUSERVE_ASSIGN_OR_RETURN(const ValueId piece,
                              scope.Append(node.name, SliceNode{begin, count}, {rows}, count));
    pieces.push_back(piece);
  }
  if (pieces.size() == 1) return pieces[0];
  return scope.Append(node.name, ConcatNode{}, std::move(pieces), width);
}

absl::StatusOr<OnnxValue> PickBlocks(const OnnxValue& value, OnnxTensor moved) {
  const int64_t hidden =
      NumElements(value.shape) / std::max<int64_t>(1, static_cast<int64_t>(value.blocks.size()));
  OnnxValue picked{.kind = value.kind, .shape = std::move(moved.shape)};
  for (size_t i = 0; i < moved.ints.size(); i += static_cast<size_t>(hidden)) {
    const int64_t first = moved.ints[i];
    bool whole = first % hidden == 0;
    for (int64_t j = 0; j < hidden; ++j) {
      const size_t at = i + static_cast<size_t>(j);
      whole = whole && at < moved.ints.size() && moved.ints[at] == first + j;
    }
    if (!whole) return Bad("takes a hidden state apart, expected whole layers and directions");
    picked.blocks.push_back(value.blocks[static_cast<size_t>(first / hidden)]);
  }
  return picked;
}

absl::StatusOr<OnnxValue> Finish(const OnnxNode& node, OnnxScope& scope, const OnnxValue& value,
                                 OnnxTensor moved) {
  if (moved.ints.empty()) return Bad(absl::StrCat("gives the shape ", ShapeText(moved.shape), ": nothing"));
  if (value.kind != OnnxValue::Kind::kRows) return PickBlocks(value, std::move(moved));
  GRUSERVE_ASSIGN_OR_RETURN(const ValueId rows, Pick(node, scope, value.rows, moved.ints));
  OnnxValue picked = OnnxScope::Like(value, rows, std::move(moved.shape));
  picked.truncated = value.truncated;
  return picked;
}

}  // namespace

absl::StatusOr<OnnxValue> MoveValue(const OnnxNode& node, OnnxScope& scope, const OnnxValue& value,
                                    const TensorMove& move) {
  if (value.kind == OnnxValue::Kind::kMissing) return Bad("its input is left out");
  if (value.is_constant()) {
    GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor moved, move(*value.constant));
    return ConstantValue(std::move(moved));
  }
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor moved, move(Positions(value.shape)));
  return Finish(node, scope, value, std::move(moved));
}

absl::StatusOr<OnnxValue> JoinValues(const OnnxNode& node, OnnxScope& scope,
                                     const std::vector<const OnnxValue*>& values, int64_t axis) {
  OnnxValue all = *values[0];
  std::vector<OnnxTensor> tensors;
  std::vector<ValueId> rows;
  int64_t width = 0;
  all.blocks.clear();
  for (const OnnxValue* const value : values) {
    if (value->kind != all.kind || value->last_step != all.last_step)
      return Bad("joins values of different kinds: constants, values of every time step, of the last one");
    if (value->is_constant()) {
      tensors.push_back(*value->constant);
      continue;
    }
    if (!all.blocks.empty() && NumElements(value->shape) * static_cast<int64_t>(all.blocks.size()) !=
                                   width * static_cast<int64_t>(value->blocks.size()))
      return Bad("joins hidden states of different sizes");
    tensors.push_back(Positions(value->shape));
    for (int64_t& position : tensors.back().ints) position += width;
    width += NumElements(value->shape);
    rows.push_back(value->rows);
    all.blocks.insert(all.blocks.end(), value->blocks.begin(), value->blocks.end());
    all.truncated = all.truncated || value->truncated;
  }
  std::vector<const OnnxTensor*> pointers;
  for (const OnnxTensor& tensor : tensors) pointers.push_back(&tensor);
  GRUSERVE_ASSIGN_OR_RETURN(OnnxTensor joined, Concatenated(pointers, axis));
  if (all.is_constant()) return ConstantValue(std::move(joined));
  if (all.kind == OnnxValue::Kind::kRows && rows.size() > 1) {
    GRUSERVE_ASSIGN_OR_RETURN(all.rows, scope.Append(node.name, ConcatNode{}, std::move(rows), width));
  }
  all.shape = {width};
  return Finish(node, scope, all, std::move(joined));
}

absl::StatusOr<OnnxValue> BroadcastRows(const OnnxNode& node, OnnxScope& scope, const OnnxValue& rows,
                                        const std::vector<int64_t>& shape) {
  if (rows.last_step && std::count(shape.begin(), shape.end(), kTimeAxis) != 0)
    return Bad("brings what the last time step gives to every time step");
  return MoveValue(node, scope, rows, [&](const OnnxTensor& tensor) { return BroadcastTo(tensor, shape); });
}

}  // namespace gruserve

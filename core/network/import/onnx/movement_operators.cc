#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/onnx/operators.h"
#include "core/network/import/onnx/row_moves.h"
#include "core/network/import/onnx/tensor_moves.h"

namespace gruserve {
namespace {

constexpr int64_t kFar = INT32_MAX;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

const char* AxisName(int64_t size) { return size == kTimeAxis ? "time" : "batch"; }

// What an attribute says in older operator sets, and input i in newer ones.
absl::StatusOr<std::optional<std::vector<int64_t>>> IntsOf(const OnnxNode& node, const OnnxScope& scope,
                                                           const std::string& name, size_t i) {
  if (const OnnxAttribute* const attribute = node.Find(name)) return attribute->ints;
  if (!node.has_input(i)) return std::nullopt;
  return scope.Ints(node, i, name);
}

absl::Status Move(const OnnxNode& node, OnnxScope& scope, const TensorMove& move) {
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue value, MoveValue(node, scope, scope.In(node, 0), move));
  return scope.Give(node, 0, std::move(value));
}

absl::StatusOr<OnnxTensor> WithShape(const OnnxTensor& tensor, std::vector<int64_t> shape) {
  OnnxTensor same = tensor;
  same.shape = std::move(shape);
  return same;
}

absl::Status LowerTranspose(const OnnxNode& node, OnnxScope& scope) {
  const OnnxAttribute* const attribute = node.Find("perm");
  std::vector<int64_t> perm;
  for (int64_t axis = scope.In(node, 0).rank(); axis-- > 0;) perm.push_back(axis);
  if (attribute != nullptr) perm = attribute->ints;
  return Move(node, scope, [&](const OnnxTensor& tensor) { return Transposed(tensor, perm); });
}

absl::Status LowerReshape(const OnnxNode& node, OnnxScope& scope) {
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, scope.Ints(node, 1, "shape"));
  return Move(node, scope, [&](const OnnxTensor& tensor) { return Reshaped(tensor, shape); });
}

absl::Status LowerFlatten(const OnnxNode& node, OnnxScope& scope) {
  const std::vector<int64_t>& from = scope.In(node, 0).shape;
  const auto rank = static_cast<int64_t>(from.size());
  int64_t axis = node.IntOr("axis", 1);
  if (axis != rank) {
    GRUSERVE_ASSIGN_OR_RETURN(axis, FrontAxis(axis, rank));
  }
  std::vector<int64_t> shape = {1, 1};
  for (int64_t i = 0; i < rank; ++i) {
    const int64_t size = from[static_cast<size_t>(i)];
    int64_t& side = shape[i < axis ? 0 : 1];
    if (size == 1) continue;
    if (side != 1 && (IsCallAxis(side) || IsCallAxis(size)))
      return Bad(absl::StrCat("makes one axis of several of ", ShapeText(from)));
    side *= size;
  }
  return Move(node, scope, [&](const OnnxTensor& tensor) { return Reshaped(tensor, shape); });
}

absl::Status LowerSqueeze(const OnnxNode& node, OnnxScope& scope) {
  const std::vector<int64_t> from = scope.In(node, 0).shape;
  GRUSERVE_ASSIGN_OR_RETURN(const auto axes, IntsOf(node, scope, "axes", 1));
  std::vector<bool> gone(from.size(), false);
  for (size_t i = 0; !axes && i < from.size(); ++i) gone[i] = from[i] == 1;
  for (const int64_t each : axes.value_or(std::vector<int64_t>{})) {
    GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(each, static_cast<int64_t>(from.size())));
    const int64_t size = from[static_cast<size_t>(axis)];
    if (size != 1)
      return Bad(absl::StrCat("takes axis ", axis, " of ", ShapeText(from), " away, which is not 1"));
    gone[static_cast<size_t>(axis)] = true;
  }
  std::vector<int64_t> shape;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!gone[i]) shape.push_back(from[i]);
  }
  return Move(node, scope, [&](const OnnxTensor& tensor) { return WithShape(tensor, shape); });
}

absl::Status LowerUnsqueeze(const OnnxNode& node, OnnxScope& scope) {
  const std::vector<int64_t> from = scope.In(node, 0).shape;
  GRUSERVE_ASSIGN_OR_RETURN(const auto axes, IntsOf(node, scope, "axes", 1));
  if (!axes) return Bad("has no axes");
  const size_t rank = from.size() + axes->size();
  if (rank > 16) return Bad(absl::StrCat("gives ", rank, " axes, expected up to 16"));
  std::vector<bool> is_new(rank, false);
  for (const int64_t each : *axes) {
    GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(each, static_cast<int64_t>(rank)));
    if (is_new[static_cast<size_t>(axis)]) return Bad(absl::StrCat("names axis ", axis, " twice"));
    is_new[static_cast<size_t>(axis)] = true;
  }
  std::vector<int64_t> shape;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) shape.push_back(is_new[i] ? 1 : from[next++]);
  return Move(node, scope, [&](const OnnxTensor& tensor) { return WithShape(tensor, shape); });
}

absl::Status LowerExpand(const OnnxNode& node, OnnxScope& scope) {
  const OnnxValue& value = scope.In(node, 0);
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> wanted, scope.Ints(node, 1, "shape"));
  for (const int64_t size : wanted) {
    if (size < 0 && !IsCallAxis(size)) return Bad(absl::StrCat("wants a size of ", size));
  }
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, BroadcastShape(value.shape, wanted));
  if (value.kind != OnnxValue::Kind::kRows)
    return Move(node, scope, [&](const OnnxTensor& tensor) { return BroadcastTo(tensor, shape); });
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue expanded, BroadcastRows(node, scope, value, shape));
  return scope.Give(node, 0, std::move(expanded));
}

// The last time step, of which `shape` is left.
OnnxValue LastStep(const OnnxValue& value, std::vector<int64_t> shape) {
  OnnxValue last = value;
  last.shape = std::move(shape);
  last.last_step = true;
  return last;
}

// A slice of an axis that only a call knows.
absl::StatusOr<OnnxValue> SliceCallAxis(const OnnxNode& node, OnnxScope& scope, const OnnxValue& value,
                                        size_t axis, int64_t start, int64_t end, int64_t step) {
  const int64_t size = value.shape[axis];
  if (step == 1 && start == 0 && (end >= kFar || end == size)) return value;
  const bool whole_places = !IsCallAxis(start) && (step == 1 || !IsCallAxis(end));
  if (!whole_places) return Bad(absl::StrCat("takes a part of the ", AxisName(size), " axis"));
  if (step == 1 && start < -kFar && (end >= kFar || end == size)) return value;
  const bool is_time = size == kTimeAxis && value.kind == OnnxValue::Kind::kRows;
  if (is_time && step == 1 && start == -1 && end >= kFar) {
    std::vector<int64_t> shape = value.shape;
    shape[axis] = 1;
    return LastStep(value, std::move(shape));
  }
  if (is_time && step == -1 && (start == -1 || start >= kFar) && end <= -kFar) {
    GRUSERVE_ASSIGN_OR_RETURN(const ValueId reversed, scope.Append(node.name, ReverseTimeNode{}, {value.rows},
                                                                   scope.width(value.rows)));
    return OnnxScope::Like(value, reversed, value.shape);
  }
  return Bad(absl::StrCat("takes a part of the ", AxisName(size),
                          " axis, expected all of it, or the last time step alone"));
}

absl::StatusOr<OnnxValue> SliceAxis(const OnnxNode& node, OnnxScope& scope, const OnnxValue& value,
                                    int64_t axis, int64_t start, int64_t end, int64_t step) {
  if (step == 0) return Bad("steps is 0");
  const int64_t size = value.shape[static_cast<size_t>(axis)];
  if (IsCallAxis(size)) return SliceCallAxis(node, scope, value, static_cast<size_t>(axis), start, end, step);
  if (IsCallAxis(start) || IsCallAxis(end)) return Bad("takes as much as a call has time steps or rows");
  const auto clamp = [&](int64_t place, int64_t least, int64_t most) {
    return std::clamp(place < 0 ? std::max(place, -size - 1) + size : place, least, most);
  };
  const int64_t first = step > 0 ? clamp(start, 0, size) : clamp(start, -1, size - 1);
  const int64_t last = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
  const int64_t span = step > 0 ? last - first : first - last;
  const int64_t stride = step > 0 ? step : (step == INT64_MIN ? INT64_MAX : -step);
  const int64_t count = span <= 0 ? 0 : (span - 1) / stride + 1;
  return MoveValue(node, scope, value, [&](const OnnxTensor& tensor) {
    return Sliced(tensor, axis, first, count > 1 ? step : 1, count);
  });
}

absl::Status LowerSlice(const OnnxNode& node, OnnxScope& scope) {
  OnnxValue value = scope.In(node, 0);
  GRUSERVE_ASSIGN_OR_RETURN(const auto starts, IntsOf(node, scope, "starts", 1));
  GRUSERVE_ASSIGN_OR_RETURN(const auto ends, IntsOf(node, scope, "ends", 2));
  if (!starts || !ends) return Bad("has no starts or no ends");
  GRUSERVE_ASSIGN_OR_RETURN(auto axes, IntsOf(node, scope, "axes", 3));
  GRUSERVE_ASSIGN_OR_RETURN(auto steps, IntsOf(node, scope, "steps", 4));
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < starts->size(); ++i) axes->push_back(static_cast<int64_t>(i));
  }
  if (!steps) steps.emplace(starts->size(), 1);
  if (ends->size() != starts->size() || axes->size() != starts->size() || steps->size() != starts->size())
    return Bad(absl::StrCat("has ", starts->size(), " starts, ", ends->size(), " ends, ", axes->size(),
                            " axes and ", steps->size(), " steps"));
  for (size_t i = 0; i < starts->size(); ++i) {
    GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis((*axes)[i], value.rank()));
    GRUSERVE_ASSIGN_OR_RETURN(value,
                              SliceAxis(node, scope, value, axis, (*starts)[i], (*ends)[i], (*steps)[i]));
  }
  return scope.Give(node, 0, std::move(value));
}

absl::Status LowerSplit(const OnnxNode& node, OnnxScope& scope) {
  const OnnxValue value = scope.In(node, 0);
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(node.IntOr("axis", 0), value.rank()));
  const int64_t size = value.shape[static_cast<size_t>(axis)];
  if (IsCallAxis(size)) return Bad(absl::StrCat("splits the ", AxisName(size), " axis"));
  GRUSERVE_ASSIGN_OR_RETURN(auto sizes, IntsOf(node, scope, "split", 1));
  const auto parts = static_cast<int64_t>(node.outputs.size());
  if (!sizes) {
    const int64_t each = (size + parts - 1) / parts;
    sizes.emplace(static_cast<size_t>(parts), each);
    sizes->back() = size - (parts - 1) * each;
  }
  int64_t left = size;
  for (const int64_t part : *sizes) {
    if (part < 0 || part > left) left = -1;
    if (left < 0) break;
    left -= part;
  }
  if (left != 0 || sizes->size() != node.outputs.size())
    return Bad(
        absl::StrCat("splits ", size, " elements into ", ShapeText(*sizes), " for ", parts, " outputs"));
  int64_t begin = 0;
  for (size_t i = 0; i < sizes->size(); ++i) {
    if (!node.outputs[i].empty()) {
      GRUSERVE_ASSIGN_OR_RETURN(OnnxValue part, MoveValue(node, scope, value, [&](const OnnxTensor& tensor) {
                                  return Sliced(tensor, axis, begin, 1, (*sizes)[i]);
                                }));
      GRUSERVE_RETURN_IF_ERROR(scope.Give(node, i, std::move(part)));
    }
    begin += (*sizes)[i];
  }
  return absl::OkStatus();
}

absl::Status LowerConcat(const OnnxNode& node, OnnxScope& scope) {
  std::vector<OnnxValue> values;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const OnnxValue& value = scope.In(node, i);
    if (value.kind == OnnxValue::Kind::kMissing) return Bad("one of its inputs is left out");
    values.push_back(value);
  }
  if (values.empty()) return Bad("has no inputs");
  // Beside rows, what a single Y_h holds is a row too.
  if (std::any_of(values.begin(), values.end(),
                  [](const OnnxValue& each) { return each.kind == OnnxValue::Kind::kRows; })) {
    for (OnnxValue& value : values) {
      if (value.kind != OnnxValue::Kind::kFinalState) continue;
      GRUSERVE_ASSIGN_OR_RETURN(value, scope.ToRows(value));
    }
  }
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(node.IntOr("axis", 0), values[0].rank()));
  for (const OnnxValue& value : values) {
    const int64_t size = axis < value.rank() ? value.shape[static_cast<size_t>(axis)] : 1;
    if (IsCallAxis(size)) return Bad(absl::StrCat("joins values along the ", AxisName(size), " axis"));
  }
  if (values.size() == 1) return scope.Give(node, 0, values[0]);
  std::vector<const OnnxValue*> pointers;
  for (const OnnxValue& value : values) pointers.push_back(&value);
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue joined, JoinValues(node, scope, pointers, axis));
  return scope.Give(node, 0, std::move(joined));
}

absl::Status LowerEmbedding(const OnnxNode& node, OnnxScope& scope, const OnnxValue& index) {
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr table, scope.Constant(node, 0, "its table"));
  if (!table->is_float || table->shape.size() != 2 || node.IntOr("axis", 0) != 0)
    return Bad(absl::StrCat("gathers from ", ShapeText(table->shape), " along axis ", node.IntOr("axis", 0),
                            ", expected the rows of a float table"));
  if (scope.width(index.rows) != 1)
    return Bad(absl::StrCat("has ", scope.width(index.rows), " indices a time step, expected 1"));
  const int64_t width = table->shape[1];
  GRUSERVE_ASSIGN_OR_RETURN(
      const ValueId rows,
      scope.Append(node.name, EmbeddingNode{.rows = table->shape[0], .width = width, .table = table->floats},
                   {index.rows}, width));
  std::vector<int64_t> shape = index.shape;
  shape.push_back(width);
  return scope.Give(node, 0, OnnxScope::Like(index, rows, std::move(shape)));
}

absl::Status LowerGather(const OnnxNode& node, OnnxScope& scope) {
  const OnnxValue data = scope.In(node, 0);
  const OnnxValue indices = scope.In(node, 1);
  if (indices.kind == OnnxValue::Kind::kRows) return LowerEmbedding(node, scope, indices);
  GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr constant, scope.Constant(node, 1, "its indices"));
  if (constant->is_float) return Bad("its indices are floats");
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t axis, FrontAxis(node.IntOr("axis", 0), data.rank()));
  const int64_t size = data.shape[static_cast<size_t>(axis)];
  if (IsCallAxis(size)) {
    if (size != kTimeAxis || data.kind != OnnxValue::Kind::kRows || constant->shape.size() > 1 ||
        constant->ints != std::vector<int64_t>{-1})
      return Bad(absl::StrCat("takes single elements of the ", AxisName(size),
                              " axis, expected the last time step (-1)"));
    std::vector<int64_t> shape = data.shape;
    shape[static_cast<size_t>(axis)] = 1;
    if (constant->shape.empty()) shape.erase(shape.begin() + axis);
    return scope.Give(node, 0, LastStep(data, std::move(shape)));
  }
  GRUSERVE_ASSIGN_OR_RETURN(OnnxValue value, MoveValue(node, scope, data, [&](const OnnxTensor& tensor) {
                              return Gathered(tensor, axis, *constant);
                            }));
  return scope.Give(node, 0, std::move(value));
}

absl::Status LowerIdentity(const OnnxNode& node, OnnxScope& scope) {
  if (scope.In(node, 0).kind == OnnxValue::Kind::kMissing) return Bad("its input is left out");
  return scope.Give(node, 0, scope.In(node, 0));
}

absl::Status LowerDropout(const OnnxNode& node, OnnxScope& scope) {
  if (node.has_input(2)) {
    GRUSERVE_ASSIGN_OR_RETURN(const OnnxTensorPtr training, scope.Constant(node, 2, "training_mode"));
    if (training->ints != std::vector<int64_t>{0}) return Bad("is in training mode");
  }
  return LowerIdentity(node, scope);
}

}  // namespace

OnnxOperator FindMovement(const std::string& op) {
  static const std::map<std::string, OnnxOperator> operators = {
      {"Concat", LowerConcat},   {"Dropout", LowerDropout},     {"Expand", LowerExpand},
      {"Flatten", LowerFlatten}, {"Gather", LowerGather},       {"Identity", LowerIdentity},
      {"Reshape", LowerReshape}, {"Slice", LowerSlice},         {"Split", LowerSplit},
      {"Squeeze", LowerSqueeze}, {"Transpose", LowerTranspose}, {"Unsqueeze", LowerUnsqueeze},
  };
  const auto found = operators.find(op);
  return found == operators.end() ? nullptr : found->second;
}

}  // namespace gruserve

#include "core/network/import/onnx/tensor_moves.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

int64_t Rank(const OnnxTensor& tensor) { return static_cast<int64_t>(tensor.shape.size()); }
int64_t Extent(int64_t size) { return IsCallAxis(size) ? 1 : size; }

absl::Status CheckGrowth(std::span<const int64_t> shape) {
  // An empty tensor's other sizes count too.
  std::vector<int64_t> extents;
  for (const int64_t size : shape) extents.push_back(size == 0 ? 1 : Extent(size));
  const std::optional<int64_t> count = CheckedProduct(extents);
  if (count && *count <= kMaxGrownElements) return absl::OkStatus();
  return Bad(absl::StrCat("gives the shape ", ShapeText(shape), ", expected up to ", kMaxGrownElements,
                          " elements"));
}

std::vector<int64_t> Strides(const OnnxTensor& tensor) {
  std::vector<int64_t> strides(tensor.shape.size(), 1);
  for (size_t i = tensor.shape.size(); i-- > 1;) strides[i - 1] = strides[i] * Extent(tensor.shape[i]);
  return strides;
}

// Element [i, j, ...] of the result is element offsets[0][i] + offsets[1][j] + ... of
// `tensor`.
OnnxTensor Picked(const OnnxTensor& tensor, std::vector<int64_t> shape,
                  const std::vector<std::vector<int64_t>>& offsets) {
  OnnxTensor picked{.is_float = tensor.is_float, .shape = std::move(shape), .floats = {}, .ints = {}};
  std::vector<int64_t> sources = {0};
  for (const std::vector<int64_t>& axis : offsets) {
    std::vector<int64_t> next;
    next.reserve(sources.size() * axis.size());
    for (const int64_t source : sources) {
      for (const int64_t offset : axis) next.push_back(source + offset);
    }
    sources = std::move(next);
  }
  if (tensor.is_float) {
    picked.floats.reserve(sources.size());
    for (const int64_t source : sources) picked.floats.push_back(tensor.floats[static_cast<size_t>(source)]);
  } else {
    picked.ints.reserve(sources.size());
    for (const int64_t source : sources) picked.ints.push_back(tensor.ints[static_cast<size_t>(source)]);
  }
  return picked;
}

std::vector<std::vector<int64_t>> IdentityOffsets(const OnnxTensor& tensor) {
  const std::vector<int64_t> strides = Strides(tensor);
  std::vector<std::vector<int64_t>> offsets(tensor.shape.size());
  for (size_t axis = 0; axis < offsets.size(); ++axis) {
    for (int64_t i = 0; i < Extent(tensor.shape[axis]); ++i) offsets[axis].push_back(i * strides[axis]);
  }
  return offsets;
}

// The fixed sizes before, between and after the call axes, multiplied.
struct Segments {
  std::vector<int64_t> call_axes;
  std::vector<int64_t> products = {1};

  bool operator==(const Segments&) const = default;
};

absl::StatusOr<Segments> SegmentsOf(std::span<const int64_t> shape) {
  Segments segments;
  for (const int64_t size : shape) {
    if (IsCallAxis(size)) {
      segments.call_axes.push_back(size);
      segments.products.push_back(1);
      continue;
    }
    const std::optional<int64_t> product = CheckedMultiply(segments.products.back(), size);
    if (!product) return Bad(absl::StrCat("gives the shape ", ShapeText(shape), ", which is too large"));
    segments.products.back() = *product;
  }
  return segments;
}

// What a -1 stands for.
absl::StatusOr<int64_t> InferredSize(std::span<const int64_t> from, std::span<const int64_t> shape) {
  for (const int64_t call_axis : {kTimeAxis, kBatchAxis}) {
    if (std::count(from.begin(), from.end(), call_axis) > std::count(shape.begin(), shape.end(), call_axis))
      return call_axis;
  }
  int64_t known = 1;
  for (const int64_t size : shape) {
    const std::optional<int64_t> product = CheckedMultiply(known, size == -1 ? 1 : Extent(size));
    if (!product) return Bad(absl::StrCat("wants the shape ", ShapeText(shape), ", which is too large"));
    known = *product;
  }
  const int64_t count = NumElements(from);
  if (known <= 0 || count % known != 0)
    return Bad(absl::StrCat("wants the shape ", ShapeText(shape), " for an input of ", ShapeText(from)));
  return count / known;
}

}  // namespace

int64_t NumElements(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= Extent(size);
  return count;
}

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (const int64_t size : shape) {
    absl::StrAppend(&text, text.size() > 1 ? ", " : "");
    if (size == kTimeAxis)
      absl::StrAppend(&text, "time");
    else if (size == kBatchAxis)
      absl::StrAppend(&text, "batch");
    else
      absl::StrAppend(&text, size);
  }
  return text + "]";
}

absl::StatusOr<int64_t> FrontAxis(int64_t axis, int64_t rank) {
  if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  return Bad(absl::StrCat("axis is ", axis, ", its input has ", rank, " axes"));
}

OnnxTensor Positions(std::vector<int64_t> shape) {
  OnnxTensor positions{.is_float = false, .shape = std::move(shape), .floats = {}, .ints = {}};
  positions.ints.resize(static_cast<size_t>(NumElements(positions.shape)));
  std::iota(positions.ints.begin(), positions.ints.end(), 0);
  return positions;
}

absl::StatusOr<OnnxTensor> Transposed(const OnnxTensor& tensor, const std::vector<int64_t>& perm) {
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool sound = Rank(tensor) == static_cast<int64_t>(perm.size());
  for (size_t i = 0; i < sorted.size(); ++i) sound = sound && sorted[i] == static_cast<int64_t>(i);
  if (!sound)
    return Bad(absl::StrCat("perm is ", ShapeText(perm), ", its input has ", Rank(tensor), " axes"));
  const auto all = IdentityOffsets(tensor);
  std::vector<std::vector<int64_t>> offsets;
  std::vector<int64_t> shape;
  for (const int64_t axis : perm) {
    offsets.push_back(all[static_cast<size_t>(axis)]);
    shape.push_back(tensor.shape[static_cast<size_t>(axis)]);
  }
  return Picked(tensor, std::move(shape), offsets);
}

absl::StatusOr<OnnxTensor> Sliced(const OnnxTensor& tensor, int64_t axis, int64_t start, int64_t step,
                                  int64_t count) {
  auto offsets = IdentityOffsets(tensor);
  std::vector<int64_t>& along = offsets[static_cast<size_t>(axis)];
  std::vector<int64_t> taken;
  for (int64_t i = 0; i < count; ++i) taken.push_back(along[static_cast<size_t>(start + i * step)]);
  along = std::move(taken);
  std::vector<int64_t> shape = tensor.shape;
  shape[static_cast<size_t>(axis)] = count;
  return Picked(tensor, std::move(shape), offsets);
}

absl::StatusOr<OnnxTensor> Gathered(const OnnxTensor& tensor, int64_t axis, const OnnxTensor& indices) {
  const int64_t size = tensor.shape[static_cast<size_t>(axis)];
  std::vector<int64_t> shape(tensor.shape.begin(), tensor.shape.begin() + axis);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), tensor.shape.begin() + axis + 1, tensor.shape.end());
  GRUSERVE_RETURN_IF_ERROR(CheckGrowth(shape));
  auto offsets = IdentityOffsets(tensor);
  std::vector<int64_t> taken;
  for (const int64_t index : indices.ints) {
    const int64_t end = size + (Seeded(Bug::kOnnxIndexMayBeTheSize) ? 1 : 0);
    if (index < -size || index >= end)
      return Bad(absl::StrCat("index is ", index, ", axis ", axis, " has ", size, " elements"));
    taken.push_back(
        offsets[static_cast<size_t>(axis)][static_cast<size_t>(index < 0 ? index + size : index)]);
  }
  offsets[static_cast<size_t>(axis)] = std::move(taken);
  return Picked(tensor, std::move(shape), offsets);
}

absl::StatusOr<OnnxTensor> Concatenated(const std::vector<const OnnxTensor*>& tensors, int64_t axis) {
  const auto at = static_cast<size_t>(axis);
  std::vector<int64_t> shape = tensors.front()->shape;
  for (size_t i = 1; i < tensors.size(); ++i) {
    std::vector<int64_t> other = tensors[i]->shape;
    if (other.size() == shape.size()) other[at] = shape[at];
    if (other != shape || tensors[i]->is_float != tensors[0]->is_float)
      return Bad(absl::StrCat("joins ", ShapeText(tensors[0]->shape), " and ", ShapeText(tensors[i]->shape),
                              " along axis ", axis));
    const std::optional<int64_t> sum = CheckedAdd(shape[at], tensors[i]->shape[at]);
    if (!sum) return Bad("gives a shape that is too large");
    shape[at] = *sum;
  }
  GRUSERVE_RETURN_IF_ERROR(CheckGrowth(shape));
  OnnxTensor joined{.is_float = tensors[0]->is_float, .shape = shape, .floats = {}, .ints = {}};
  const int64_t outer = NumElements(std::span(shape).first(at));
  for (int64_t i = 0; i < outer; ++i) {
    for (const OnnxTensor* const tensor : tensors) {
      const int64_t run = NumElements(std::span(tensor->shape).subspan(at));
      if (tensor->is_float)
        joined.floats.insert(joined.floats.end(), tensor->floats.begin() + i * run,
                             tensor->floats.begin() + (i + 1) * run);
      else
        joined.ints.insert(joined.ints.end(), tensor->ints.begin() + i * run,
                           tensor->ints.begin() + (i + 1) * run);
    }
  }
  return joined;
}

absl::StatusOr<OnnxTensor> Reshaped(const OnnxTensor& tensor, const std::vector<int64_t>& wanted) {
  std::vector<int64_t> shape = wanted;
  std::optional<size_t> inferred;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && i < tensor.shape.size()) shape[i] = tensor.shape[i];
    if (shape[i] == -1 && inferred) return Bad("wants a shape with two -1");
    if (shape[i] == -1) inferred = i;
    if (shape[i] < -1 && !IsCallAxis(shape[i])) return Bad(absl::StrCat("wants a size of ", shape[i]));
  }
  if (inferred) {
    GRUSERVE_ASSIGN_OR_RETURN(shape[*inferred], InferredSize(tensor.shape, shape));
  }
  GRUSERVE_ASSIGN_OR_RETURN(const Segments before, SegmentsOf(tensor.shape));
  GRUSERVE_ASSIGN_OR_RETURN(const Segments after, SegmentsOf(shape));
  if (before.call_axes != after.call_axes)
    return Bad(absl::StrCat("makes ", ShapeText(shape), " out of ", ShapeText(tensor.shape),
                            ": time and batch must stay axes of their own, in their order"));
  if (before != after)
    return Bad(absl::StrCat("makes ", ShapeText(shape), " out of ", ShapeText(tensor.shape),
                            ": numbers would move from one time step or batch row to another, or vanish"));
  if (NumElements(tensor.shape) == 0) GRUSERVE_RETURN_IF_ERROR(CheckGrowth(shape));
  OnnxTensor reshaped = tensor;
  reshaped.shape = std::move(shape);
  return reshaped;
}

absl::StatusOr<std::vector<int64_t>> BroadcastShape(const std::vector<int64_t>& a,
                                                    const std::vector<int64_t>& b) {
  std::vector<int64_t> shape(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1)
      return Bad(
          absl::StrCat("its inputs are ", ShapeText(a), " and ", ShapeText(b), ", which do not go together"));
    shape[shape.size() - 1 - i] = x == 1 ? y : x;
  }
  return shape;
}

absl::StatusOr<OnnxTensor> BroadcastTo(const OnnxTensor& tensor, const std::vector<int64_t>& shape) {
  GRUSERVE_RETURN_IF_ERROR(CheckGrowth(shape));
  const size_t missing = shape.size() - tensor.shape.size();
  const auto all = IdentityOffsets(tensor);
  std::vector<std::vector<int64_t>> offsets(shape.size());
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const bool repeated = axis < missing || Extent(tensor.shape[axis - missing]) == 1;
    offsets[axis] =
        repeated ? std::vector<int64_t>(static_cast<size_t>(Extent(shape[axis])), 0) : all[axis - missing];
  }
  return Picked(tensor, shape, offsets);
}

}  // namespace gruserve

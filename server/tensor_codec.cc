#include "server/tensor_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/bf16.h"
#include "core/base/checked_math.h"

namespace gruserve::server {
namespace {

static_assert(std::endian::native == std::endian::little, "Tensor.raw is little-endian, viewed in place");

// Enough for any shape that we take, and short in a message for any other.
constexpr int kMaxRank = 8;

std::string ShapeText(const v1::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape(), ", "), "]");
}

absl::StatusOr<int64_t> CountElements(const v1::Tensor& tensor, const std::string& field) {
  if (tensor.shape_size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(field, " has 0 dimensions, its shape is required"));
  }
  if (tensor.shape_size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " has ", tensor.shape_size(), " dimensions, at most 3 are wanted"));
  }
  for (int axis = 0; axis < tensor.shape_size(); ++axis) {
    if (tensor.shape(axis) < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".shape[", axis, "] is ", tensor.shape(axis), ", at least 0 is wanted"));
    }
  }
  const std::optional<int64_t> count =
      CheckedProduct({tensor.shape().data(), static_cast<size_t>(tensor.shape_size())});
  if (!count || !CheckedMultiply(*count, sizeof(float))) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".shape is ", ShapeText(tensor), ", more elements than any message holds"));
  }
  return *count;
}

absl::Status WrongSize(const std::string& field, const v1::Tensor& tensor, const std::string& got,
                       const std::string& wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", got, ", its shape ", ShapeText(tensor), " wants ", wanted));
}

}  // namespace

absl::StatusOr<TensorView> ViewTensor(const v1::Tensor& tensor, const std::string& field) {
  if (!v1::DataType_IsValid(tensor.dtype())) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".dtype is ", static_cast<int>(tensor.dtype()),
                                                   ", 1 (F32) or 2 (BF16) is wanted"));
  }
  const absl::StatusOr<int64_t> count = CountElements(tensor, field);
  if (!count.ok()) return count.status();
  if (tensor.values_size() > 0 && !tensor.raw().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, " has both values and raw, one of them is wanted"));
  }
  TensorView view;
  view.shape = {tensor.shape().data(), static_cast<size_t>(tensor.shape_size())};
  const bool bf16 = tensor.dtype() == v1::DATA_TYPE_BF16;
  if (bf16) view.form = TensorForm::kBf16;
  if (!tensor.raw().empty()) {
    const int64_t bytes = *count * static_cast<int64_t>(bf16 ? sizeof(uint16_t) : sizeof(float));
    if (static_cast<int64_t>(tensor.raw().size()) != bytes) {
      return WrongSize(field, tensor, absl::StrCat(tensor.raw().size(), " raw bytes"), absl::StrCat(bytes));
    }
    // A std::string's bytes are aligned for a float, on the heap and inside.
    if (bf16) {
      view.widened.resize(static_cast<size_t>(*count));
      FromBf16(reinterpret_cast<const uint16_t*>(tensor.raw().data()), *count, view.widened.data());
      view.elements = view.widened;
      return view;
    }
    view.elements = {reinterpret_cast<const float*>(tensor.raw().data()), static_cast<size_t>(*count)};
    view.form = TensorForm::kRaw;
    return view;
  }
  if (bf16 && tensor.values_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".dtype is 2 (BF16) beside values, which are floats: raw is wanted"));
  }
  if (tensor.values_size() != *count) {
    return WrongSize(field, tensor, absl::StrCat(tensor.values_size(), " values"), absl::StrCat(*count));
  }
  view.elements = {tensor.values().data(), static_cast<size_t>(*count)};
  return view;
}

std::span<float> MakeTensor(std::span<const int64_t> shape, TensorForm form, v1::Tensor* tensor) {
  tensor->mutable_shape()->Assign(shape.begin(), shape.end());
  const auto count = static_cast<size_t>(*CheckedProduct(shape));
  if (form != TensorForm::kValues) {
    tensor->clear_values();
    tensor->set_dtype(form == TensorForm::kRaw ? v1::DATA_TYPE_F32 : v1::DATA_TYPE_BF16);
    tensor->mutable_raw()->resize(count * sizeof(float));
    return {reinterpret_cast<float*>(tensor->mutable_raw()->data()), count};
  }
  tensor->clear_raw();
  tensor->mutable_values()->Resize(static_cast<int>(count), 0.0F);
  return {tensor->mutable_values()->mutable_data(), count};
}

void FinishTensor(TensorForm form, v1::Tensor* tensor) {
  if (form != TensorForm::kBf16) return;
  // In place, a block at a time: what is written ends before what is still to be read.
  constexpr size_t kBlock = 1024;
  uint16_t rounded[kBlock];
  char* const bytes = tensor->mutable_raw()->data();
  const size_t count = tensor->raw().size() / sizeof(float);
  for (size_t first = 0; first < count; first += kBlock) {
    const size_t size = std::min(kBlock, count - first);
    RoundToBf16(reinterpret_cast<const float*>(bytes) + first, static_cast<int64_t>(size), rounded);
    std::memcpy(bytes + first * sizeof(uint16_t), rounded, size * sizeof(uint16_t));
  }
  tensor->mutable_raw()->resize(count * sizeof(uint16_t));
}

void FillTensor(std::span<const int64_t> shape, TensorForm form, std::span<const float> elements,
                v1::Tensor* tensor) {
  std::copy(elements.begin(), elements.end(), MakeTensor(shape, form, tensor).begin());
  FinishTensor(form, tensor);
}

absl::Status WrongRank(const std::string& field, int64_t rank, const std::string& wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", rank, rank == 1 ? " dimension, " : " dimensions, ", wanted));
}

absl::Status CheckDim(const TensorView& tensor, const std::string& field, int64_t axis, int64_t wanted,
                      const std::string& who) {
  if (tensor.dim(axis) == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ".shape[", axis, "] is ", tensor.dim(axis), ", ", who, " expects ", wanted));
}

}  // namespace gruserve::server

// Tensors of the wire as spans of floats, and back. Every check that needs no
// model is made here, before anything is allocated. Thread-safe: no state.

#ifndef GRUSERVE_SERVER_TENSOR_CODEC_H_
#define GRUSERVE_SERVER_TENSOR_CODEC_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gruserve/v1/tensor.pb.h"

namespace gruserve::server {

// How the elements travel; a response uses its request's form.
enum class TensorForm : uint32_t { kValues = 0, kRaw = 1, kBf16 = 2 };

// A checked tensor, in place: valid while its message is, and `widened` has not been
// taken away.
struct TensorView {
  TensorView() = default;
  // A copy would not own what it shows.
  TensorView(TensorView&&) = default;
  TensorView& operator=(TensorView&&) = default;

  std::span<const int64_t> shape;
  std::span<const float> elements;  // As many as `shape` says.
  TensorForm form = TensorForm::kValues;
  std::vector<float> widened;  // The elements, where the form is kBf16.

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  int64_t dim(int64_t axis) const { return shape[static_cast<size_t>(axis)]; }
};

// InvalidArgument, naming `field`, unless the shape is there, no dimension is
// negative, and exactly one of values and raw holds as many elements as it says.
absl::StatusOr<TensorView> ViewTensor(const v1::Tensor& tensor, const std::string& field);

// Gives `tensor` the shape and uninitialised elements to write to, for FinishTensor once
// they are written. REQUIRES: no dimension is negative and the elements fit in memory.
std::span<float> MakeTensor(std::span<const int64_t> shape, TensorForm form, v1::Tensor* tensor);

// Brings the elements into `form`, the one of MakeTensor.
void FinishTensor(TensorForm form, v1::Tensor* tensor);
// Both for elements that are there already, as many as the shape says.
void FillTensor(std::span<const int64_t> shape, TensorForm form, std::span<const float> elements,
                v1::Tensor* tensor);

// InvalidArgument where a tensor has `rank` dimensions; `wanted` says which it
// should have.
absl::Status WrongRank(const std::string& field, int64_t rank, const std::string& wanted);

// InvalidArgument unless dimension `axis` is `wanted`; `who` wants it so.
absl::Status CheckDim(const TensorView& tensor, const std::string& field, int64_t axis, int64_t wanted,
                      const std::string& who);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_TENSOR_CODEC_H_

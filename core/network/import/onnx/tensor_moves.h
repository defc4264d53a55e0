// What ONNX's operators that move numbers about do to a tensor. Shapes may hold
// kTimeAxis and kBatchAxis, which stay what they are; no number is moved along one.
//
// The importer uses them twice: for constants, and for a tensor of positions
// (Positions) that says where each feature of a row of numbers comes from.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_TENSOR_MOVES_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_TENSOR_MOVES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

// Elements that a move may make out of fewer.
constexpr int64_t kMaxGrownElements = int64_t{1} << 22;

// Elements of a tensor of this shape: call axes count as 1. REQUIRES: it exists.
int64_t NumElements(std::span<const int64_t> shape);
// "[time, batch, 16]".
std::string ShapeText(std::span<const int64_t> shape);
// `axis` from the front, for a negative one too; InvalidArgument where there is none.
absl::StatusOr<int64_t> FrontAxis(int64_t axis, int64_t rank);

// 0, 1, 2, ...
OnnxTensor Positions(std::vector<int64_t> shape);

absl::StatusOr<OnnxTensor> Transposed(const OnnxTensor& tensor, const std::vector<int64_t>& perm);
// `count` elements of one axis: start, start + step, ... all of which exist.
absl::StatusOr<OnnxTensor> Sliced(const OnnxTensor& tensor, int64_t axis, int64_t start, int64_t step,
                                  int64_t count);
absl::StatusOr<OnnxTensor> Gathered(const OnnxTensor& tensor, int64_t axis, const OnnxTensor& indices);
absl::StatusOr<OnnxTensor> Concatenated(const std::vector<const OnnxTensor*>& tensors, int64_t axis);
// `wanted` as Reshape has it: 0 and -1 allowed.
absl::StatusOr<OnnxTensor> Reshaped(const OnnxTensor& tensor, const std::vector<int64_t>& wanted);
// To a shape that BroadcastShape gave.
absl::StatusOr<OnnxTensor> BroadcastTo(const OnnxTensor& tensor, const std::vector<int64_t>& shape);

// As NumPy has it; a call axis goes with itself and with 1 only.
absl::StatusOr<std::vector<int64_t>> BroadcastShape(const std::vector<int64_t>& a,
                                                    const std::vector<int64_t>& b);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_TENSOR_MOVES_H_

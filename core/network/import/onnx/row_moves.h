// Moves of tensor_moves.h on whatever a value is: a constant, a row of the graph, or
// the blocks of a hidden state.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ROW_MOVES_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ROW_MOVES_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/network/import/onnx/onnx_scope.h"

namespace gruserve {

using TensorMove = std::function<absl::StatusOr<OnnxTensor>(const OnnxTensor& tensor)>;

absl::StatusOr<OnnxValue> MoveValue(const OnnxNode& node, OnnxScope& scope, const OnnxValue& value,
                                    const TensorMove& move);

// Several values joined along one axis of fixed size: all constants, all rows, or all
// blocks.
absl::StatusOr<OnnxValue> JoinValues(const OnnxNode& node, OnnxScope& scope,
                                     const std::vector<const OnnxValue*>& values, int64_t axis);

// `rows` of another shape, its numbers repeated as broadcasting says.
absl::StatusOr<OnnxValue> BroadcastRows(const OnnxNode& node, OnnxScope& scope, const OnnxValue& rows,
                                        const std::vector<int64_t>& shape);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ROW_MOVES_H_

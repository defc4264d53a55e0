// Arithmetic on constants, which exporters write around shapes.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_CONSTANT_FOLDER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_CONSTANT_FOLDER_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/engine/row_op.h"
#include "core/network/import/onnx/onnx_model.h"
#include "core/network/import/onnx/operators.h"

namespace gruserve {

// f(a, b), broadcast. A size that only a call knows may be multiplied by 1 and such.
absl::StatusOr<OnnxTensor> FoldBinary(const OnnxTensor& a, const OnnxTensor& b, BinaryFunction function);

// Constant, ConstantOfShape, Shape, Cast, Equal, Where; null for another.
OnnxOperator FindConstantOperator(const std::string& op);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_CONSTANT_FOLDER_H_

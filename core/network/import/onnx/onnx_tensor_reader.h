// ONNX's TensorProto made an OnnxTensor: type, shape and number of bytes are checked
// against each other before anything is allocated.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_TENSOR_READER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_TENSOR_READER_H_

#include <onnx/onnx_pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "core/network/import/onnx/model_folder.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

// Text of the file for a message: printable and short.
std::string PrintableOnnx(const std::string& text);

// `folder` has the external data; null: there is none. InvalidArgument, beginning with
// `what`, for a tensor that is not sound.
absl::StatusOr<OnnxTensorPtr> ReadOnnxTensor(const std::string& what, const onnx::TensorProto& proto,
                                             const ModelFolder* folder);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_TENSOR_READER_H_

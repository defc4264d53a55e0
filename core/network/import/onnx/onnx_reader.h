// Reads ONNX files. What comes in is not trusted: sizes, versions, types and names are
// checked; an operator's meaning is for the importer.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_READER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_READER_H_

#include <string>

#include "absl/status/statusor.h"
#include "core/network/import/onnx/model_folder.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

// `bytes` are those of a model.onnx; `folder` has its external data, null where it may
// have none. InvalidArgument, naming the part, what came and what was wanted;
// NotFound and FailedPrecondition for external data, as ModelFolder.
absl::StatusOr<OnnxModel> ParseOnnx(const std::string& bytes, const ModelFolder* folder);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_READER_H_

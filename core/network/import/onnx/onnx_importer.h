// Lowers an ONNX model to the network's own graph.
//
// Which of a value's axes are time and batch is not written in the file: the importer
// tries the ways in which exporters arrange the inputs' axes until the GRUs' X come out
// as ONNX wants them, and follows both axes through every node. A node that mixes
// time steps or batch rows, or that is not known, is refused by its name.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_IMPORTER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_IMPORTER_H_

#include "absl/status/statusor.h"
#include "core/network/graph.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

struct OnnxImportOptions {
  // linear_before_reset=0 is meant, also in a file that PyTorch's exporter wrote.
  bool reset_before_confirmed = false;
};

// InvalidArgument: which node, which operator, and why it cannot be served.
absl::StatusOr<Graph> ImportOnnx(const OnnxModel& model, const OnnxImportOptions& options = {});

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_IMPORTER_H_

// Builds the graph that a model.json describes, with the numbers of a PyTorch
// state_dict. What comes in is not trusted.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_PIPELINE_IMPORTER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_PIPELINE_IMPORTER_H_

#include "absl/status/statusor.h"
#include "core/model/import/safetensors_reader.h"
#include "core/network/graph.h"
#include "core/network/import/model_config_reader.h"

namespace gruserve {

// InvalidArgument, naming the module and the tensor, what came and what was wanted:
// for a missing tensor, one that no module uses, a wrong shape, an unknown name, and
// all that an nn.GRU's own import refuses. Each GRU has a state of its module's name.
// REQUIRES: config.modules is not empty.
absl::StatusOr<Graph> ImportPipeline(const ModelConfig& config, const SafetensorsFile& file);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_PIPELINE_IMPORTER_H_

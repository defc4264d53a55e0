// Reads `model.json`, which says about a model what its weights do not. What comes
// in is not trusted: a key that is not known, comes twice, or has a wrong type or
// value is refused by its name.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/compute_dtype.h"
#include "core/network/import/module_config.h"

namespace gruserve {

// What the file says; nothing where it is silent.
struct ModelConfig {
  std::optional<ComputeDtype> compute_dtype;  // "compute_dtype": "f32" or "bf16".
  // "linear_before_reset": 0 or 1, of an ONNX file's GRUs: 0 confirms what PyTorch's
  // exporter writes by mistake.
  std::optional<bool> linear_before_reset;
  // What stands around the GRU (pipeline_importer.h). Empty: the weights say it all.
  std::vector<ModuleConfig> modules;
  // Of a model with modules; empty: one, whose size the first module says.
  std::vector<InputConfig> inputs;
  std::string output;  // The name of the module that gives the output; empty: the last.
};

// InvalidArgument, naming the key, what came and what was wanted.
absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& text);

// The same of a file; an empty config where there is none. FailedPrecondition
// where it cannot be read.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::filesystem::path& file);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_

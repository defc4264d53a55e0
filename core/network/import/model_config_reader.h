// Reads `model.json`, which says about a model what its weights do not. What comes
// in is not trusted: a key that is not known, comes twice, or has a wrong type or
// value is refused by its name.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/engine/compute_dtype.h"

namespace gruserve {

// What the file says; nothing where it is silent.
struct ModelConfig {
  std::optional<ComputeDtype> compute_dtype;  // "compute_dtype": "f32" or "bf16".
};

// InvalidArgument, naming the key, what came and what was wanted.
absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& text);

// The same of a file; an empty config where there is none. FailedPrecondition
// where it cannot be read.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::filesystem::path& file);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_MODEL_CONFIG_READER_H_

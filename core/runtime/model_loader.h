// Turns one version folder into a LoadedModel.

#ifndef GRUSERVE_CORE_RUNTIME_MODEL_LOADER_H_
#define GRUSERVE_CORE_RUNTIME_MODEL_LOADER_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "core/engine/compute_dtype.h"
#include "core/runtime/loaded_model.h"

namespace gruserve {

// Reads `folder`, which holds `model.safetensors` (the state_dict of an nn.GRU or
// nn.GRUCell, or of the modules that `model.json` describes) or `model.onnx`, and
// perhaps `model.json`, and makes `num_workers` replicas. Without a compute_dtype in
// model.json it computes in `compute_dtype`. Where `like`, which may be null, has the
// same shapes, its step costs hold for this one too: measured while others compute, they
// would come out too high. The error is what the repository lists as the reason: it
// names the file, the tensor, what came and what was wanted.
absl::StatusOr<ModelHandle> LoadModel(const std::filesystem::path& folder, const std::string& name,
                                      int64_t version, int num_workers, ComputeDtype compute_dtype,
                                      const LoadedModel* like = nullptr);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_MODEL_LOADER_H_

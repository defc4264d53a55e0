// What the server says of its models. Plain values; see model.proto for the
// meaning of each field.

#ifndef GRUSERVE_CLIENT_MODEL_INFO_H_
#define GRUSERVE_CLIENT_MODEL_INFO_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gruserve::client {

// Names a model; a plain string will do.
struct ModelSpec {
  ModelSpec() = default;
  ModelSpec(std::string model_name, int64_t model_version = 0)  // NOLINT: a name is a spec.
      : name(std::move(model_name)), version(model_version) {}
  ModelSpec(const char* model_name) : name(model_name) {}  // NOLINT: a name is a spec.

  std::string name;
  int64_t version = 0;  // 0: the highest that is READY.
  std::string label;    // In place of a version: what versions.json calls it.
};

enum class ModelState { kUnspecified, kLoading, kReady, kFailed };
enum class CellKind { kUnspecified, kLinearBeforeReset, kResetBefore };
enum class ModuleKind { kUnspecified, kGru, kGruCell };
enum class ComputeDtype { kUnspecified, kF32, kBf16 };

struct ModelSummary {
  std::string name;
  int64_t version = 0;
  ModelState state = ModelState::kUnspecified;
  std::string reason;                                       // Why it failed, or its loading anew did.
  ComputeDtype compute_dtype = ComputeDtype::kUnspecified;  // Of a READY one.
  std::vector<std::string> labels;                          // That name it.
};

// One part of a network.
struct ModelModule {
  std::string name;
  std::string kind;  // "GRU", "Linear", ...
  int64_t output_size = 0;
};

// One hidden state of a network.
struct ModelStateSpec {
  std::string name;
  std::vector<int64_t> shape;  // With -1 for the batch.
};

// Some features of an input row.
struct ModelInput {
  std::string name;
  int64_t size = 0;
};

// Kinds, hidden size, layers, directions and bias only of a model that is one GRU and
// nothing else.
struct ModelDescription {
  ModelSummary summary;
  CellKind cell_kind = CellKind::kUnspecified;
  ModuleKind module_kind = ModuleKind::kUnspecified;
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_directions = 0;
  bool bias = false;
  int64_t output_size = 0;
  bool steppable = false;
  int64_t parameter_count = 0;
  std::string weights_sha256;
  int64_t state_bytes_per_row = 0;
  int64_t gru_cells_per_step = 0;
  std::string kernel_fingerprint;
  std::vector<ModelModule> modules;    // In the order in which they run.
  std::vector<ModelStateSpec> states;  // In the order of `states`.
  std::vector<ModelInput> inputs;      // What an input row is made of.
  std::string output_name;
  std::string not_steppable;  // Why it cannot step; empty where it can.
};

// "READY", "LOADING", "FAILED"; "UNSPECIFIED" for what this client does not know.
const char* Name(ModelState state);
// "linear-before-reset", "reset-before".
const char* Name(CellKind kind);
// "GRU", "GRUCell".
const char* Name(ModuleKind kind);
// "f32", "bf16"; "-" where the model is not READY.
const char* Name(ComputeDtype dtype);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_MODEL_INFO_H_

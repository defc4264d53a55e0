// The shape of a GRU network. A plain value.

#ifndef GRUSERVE_CORE_MODEL_GRU_CONFIG_H_
#define GRUSERVE_CORE_MODEL_GRU_CONFIG_H_

#include <cstdint>

#include "core/engine/cell_kind.h"
#include "core/engine/compute_dtype.h"

namespace gruserve {

// Which PyTorch module the weights belong to; it decides the rank of a state.
enum class ModuleKind {
  kGru,      // torch.nn.GRU: states are [layers * directions, B, H].
  kGruCell,  // torch.nn.GRUCell: states are [B, H].
};

struct GruConfig {
  CellKind cell_kind = CellKind::kLinearBeforeReset;
  ModuleKind module_kind = ModuleKind::kGru;
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 1;
  int64_t num_directions = 1;
  bool bias = true;
  ComputeDtype compute_dtype = ComputeDtype::kF32;

  // Features of one output row.
  int64_t output_size() const { return num_directions * hidden_size; }
  // Hidden-state blocks of H floats that one batch row owns, layer-major:
  // l0 forward, l0 reverse, l1 forward, ...
  int64_t state_blocks() const { return num_layers * num_directions; }
  // Floats of hidden state that one batch row owns.
  int64_t state_size() const { return state_blocks() * hidden_size; }
  // Features that layer `layer` reads.
  int64_t layer_input_size(int64_t layer) const { return layer == 0 ? input_size : output_size(); }
  // Whether one step can run before the sequence's end is known.
  bool steppable() const { return num_directions == 1; }

  bool operator==(const GruConfig&) const = default;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_GRU_CONFIG_H_

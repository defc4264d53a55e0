// The trained numbers of a GRU network, in oneDNN's order.
//
// Foreign gate orders and names end here: importers bring PyTorch's r,z,n rows
// (or ONNX's z,r,h) and this file turns them into oneDNN's u,r,o `ldigo`.

#ifndef GRUSERVE_CORE_MODEL_GRU_WEIGHTS_H_
#define GRUSERVE_CORE_MODEL_GRU_WEIGHTS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "core/engine/gru_layer_weights.h"
#include "core/model/gru_config.h"

namespace gruserve {

// One layer and direction as PyTorch stores it: rows r|z|n of H each.
struct PyTorchGruTensors {
  std::span<const float> weight_ih;  // [3H, I]
  std::span<const float> weight_hh;  // [3H, H]
  std::span<const float> bias_ih;    // [3H], or empty for bias=False.
  std::span<const float> bias_hh;    // [3H], or empty for bias=False.
};

// Reorders one layer and direction for oneDNN. PyTorch itself has
// kLinearBeforeReset only; kResetBefore takes the same tensors and adds up the
// candidate's two biases. REQUIRES: the spans have the sizes above.
GruLayerWeights FromPyTorch(const PyTorchGruTensors& tensors, int64_t input_size, int64_t hidden_size,
                            CellKind cell_kind = CellKind::kLinearBeforeReset);

// A whole network: config and weights, one entry a layer and direction,
// layer-major like the states.
struct GruNetwork {
  GruConfig config;
  std::vector<GruLayerWeights> layers;
  int64_t parameter_count = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_GRU_WEIGHTS_H_

// A GRU that oneDNN's primitives have no form of (other activations, a clip), as a cell
// of row ops: ONNX's own formulas.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRU_CELL_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRU_CELL_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/cell_kind.h"
#include "core/network/graph.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

struct GruActivation {
  std::string name;  // ONNX's.
  float alpha = 0;
  float beta = 0;
};

struct GruActivations {
  std::vector<GruActivation> functions;  // Of the gates and of the candidate, for each direction.
  std::optional<float> clip;

  // Whether they are what oneDNN's GRU has.
  bool plain() const;
};

// What a GRU node says of them. InvalidArgument for one that is not known.
absl::StatusOr<GruActivations> ReadGruActivations(const OnnxNode& node, int64_t directions);

// One direction, rows z|r|h.
struct GruCellWeights {
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  CellKind cell_kind = CellKind::kResetBefore;
  std::span<const float> weights;    // [3H, I]
  std::span<const float> recurrent;  // [3H, H]
  std::span<const float> bias;       // [6H], or empty.
};

struct GruCell {
  DenseNode projection;  // What depends on x alone: [3H].
  Graph body;            // As CellNode's: inputs x (the projection) and h.
};

GruCell MakeGruCell(const GruCellWeights& weights, const GruActivations& activations, size_t direction);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRU_CELL_H_

#include "core/engine/gru_layer_weights.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {

absl::StatusOr<GruLayerWeights> LayOutWeights(const GruLayerShape& shape, GruLayerWeights plain) {
  if (shape.dtype == ComputeDtype::kF32) return plain;
  const int64_t hidden = shape.hidden_size;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot lay out the weights for bf16", [&] {
    const WeightsDescs kept = KeptLayout(shape);
    const auto ldigo = [hidden](int64_t rows) {
      return dnnl::memory::desc({1, 1, rows, 3, hidden}, dnnl::memory::data_type::f32,
                                dnnl::memory::format_tag::ldigo);
    };
    plain.weights_layer = Reordered(plain.weights_layer, ldigo(shape.input_size), kept.weights_layer);
    plain.weights_iter = Reordered(plain.weights_iter, ldigo(hidden), kept.weights_iter);
  }));
  return plain;
}

}  // namespace gruserve

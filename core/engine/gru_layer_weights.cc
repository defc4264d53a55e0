#include "core/engine/gru_layer_weights.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {

absl::StatusOr<GruLayerWeights> LayOutWeights(const GruLayerShape& shape, GruLayerWeights plain) {
  const int64_t hidden = shape.hidden_size;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot lay out the weights", [&] {
    const WeightsDescs kept = KeptLayout(shape);
    const auto lay_out = [hidden](AlignedBuffer& matrix, int64_t inputs, const dnnl::memory::desc& wanted) {
      const dnnl::memory::desc ldigo({1, 1, inputs, 3, hidden}, dnnl::memory::data_type::f32,
                                     dnnl::memory::format_tag::ldigo);
      if (wanted != ldigo) matrix = Reordered(matrix, ldigo, wanted);
    };
    lay_out(plain.weights_layer, shape.input_size, kept.weights_layer);
    lay_out(plain.weights_iter, hidden, kept.weights_iter);
  }));
  return plain;
}

}  // namespace gruserve

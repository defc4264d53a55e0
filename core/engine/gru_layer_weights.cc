#include "core/engine/gru_layer_weights.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {
namespace {

using dnnl::memory;

AlignedBuffer Reordered(AlignedBuffer& plain, int64_t rows, int64_t hidden, const memory::desc& wanted) {
  AlignedBuffer bytes(static_cast<int64_t>((wanted.get_size() + sizeof(float) - 1) / sizeof(float)));
  const memory::desc ldigo({1, 1, rows, 3, hidden}, memory::data_type::f32, memory::format_tag::ldigo);
  memory source(ldigo, CpuEngine(), plain.data());
  memory target(wanted, CpuEngine(), bytes.data());
  dnnl::stream stream(CpuEngine());
  dnnl::reorder(source, target).execute(stream, source, target);
  stream.wait();
  return bytes;
}

}  // namespace

absl::StatusOr<GruLayerWeights> LayOutWeights(const GruLayerShape& shape, GruLayerWeights plain) {
  if (shape.dtype == ComputeDtype::kF32) return plain;
  const int64_t hidden = shape.hidden_size;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot lay out the weights for bf16", [&] {
    const WeightsDescs kept = KeptLayout(shape);
    plain.weights_layer = Reordered(plain.weights_layer, shape.input_size, hidden, kept.weights_layer);
    plain.weights_iter = Reordered(plain.weights_iter, hidden, hidden, kept.weights_iter);
  }));
  return plain;
}

}  // namespace gruserve

// How the arrays of a GRU layer lie in memory, in oneDNN's words. For the engine
// alone. May throw dnnl::error.

#ifndef GRUSERVE_CORE_ENGINE_GRU_LAYOUT_H_
#define GRUSERVE_CORE_ENGINE_GRU_LAYOUT_H_

#include "core/base/aligned_buffer.h"
#include "core/engine/bucket.h"
#include "core/engine/dnnl_compat.h"

namespace gruserve {

// Never destroyed: primitives in static storage may outlive any order of ends.
const dnnl::engine& CpuEngine();

// f32 weights lie in ldigo, WeightStride apart. Those of bf16 are for oneDNN to choose (`any`).
GruMemoryDescs DescribeMemory(const GruLayerShape& shape, const Bucket& bucket);

// Calls `use` with the primitive's descriptor for `bucket`.
template <typename Use>
void WithPrimitiveDesc(const GruLayerShape& shape, const Bucket& bucket, const Use& use) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const GruMemoryDescs descs = DescribeMemory(shape, bucket);
  if (shape.cell_kind == CellKind::kLinearBeforeReset) {
    use(MakeGruPrimitiveDesc<dnnl::lbr_gru_forward>(CpuEngine(), descs, attr));
  } else {
    use(MakeGruPrimitiveDesc<dnnl::gru_forward>(CpuEngine(), descs, attr));
  }
}

struct WeightsDescs {
  dnnl::memory::desc weights_layer;
  dnnl::memory::desc weights_iter;
};

// `plain`, f32 as `layout` says, in the form `wanted`: its bytes. Values are rounded where
// that is bf16.
AlignedBuffer Reordered(AlignedBuffer& plain, const dnnl::memory::desc& layout,
                        const dnnl::memory::desc& wanted);

// The one layout in which a model of this shape keeps its weights. For bf16: that
// of the largest batch, which smaller ones may read too.
WeightsDescs KeptLayout(const GruLayerShape& shape);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_LAYOUT_H_

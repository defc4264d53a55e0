#include "core/engine/gru_layout.h"

#include <cstdint>

#include "core/base/rounding.h"
#include "core/engine/row_product.h"

namespace gruserve {

using dnnl::memory;

const dnnl::engine& CpuEngine() {
  static const auto* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

namespace {

memory::desc DescribeWeights(const GruLayerShape& shape, int64_t inputs) {
  const memory::dims dims = {1, 1, inputs, 3, shape.hidden_size};
  if (shape.dtype == ComputeDtype::kBf16) return {dims, memory::data_type::bf16, memory::format_tag::any};
  const int64_t stride = WeightStride(3 * shape.hidden_size);
  const int64_t all = inputs * stride;
  return {dims, memory::data_type::f32, memory::dims{all, all, stride, shape.hidden_size, 1}};
}

}  // namespace

GruMemoryDescs DescribeMemory(const GruLayerShape& shape, const Bucket& bucket) {
  constexpr auto kF32 = memory::data_type::f32;
  const bool bf16 = shape.dtype == ComputeDtype::kBf16;
  const auto type = bf16 ? memory::data_type::bf16 : kF32;
  const int64_t bias_rows = shape.cell_kind == CellKind::kLinearBeforeReset ? 4 : 3;
  const int64_t input = shape.input_size;
  const int64_t hidden = shape.hidden_size;
  const int64_t steps = bucket.time_steps;
  const int64_t batch = bucket.batch_size;
  return {.src_layer = {{steps, batch, input}, type, memory::format_tag::tnc},
          .src_iter = {{1, 1, batch, hidden}, type, memory::format_tag::ldnc},
          .weights_layer = DescribeWeights(shape, input),
          .weights_iter = DescribeWeights(shape, hidden),
          .bias = {{1, 1, bias_rows, hidden}, kF32, memory::format_tag::ldgo},
          .dst_layer = {{steps, batch, hidden}, type, memory::format_tag::tnc}};
}

AlignedBuffer Reordered(AlignedBuffer& plain, const memory::desc& layout, const memory::desc& wanted) {
  AlignedBuffer bytes(CeilDivide(static_cast<int64_t>(wanted.get_size()), int64_t{sizeof(float)}));
  memory source(layout, CpuEngine(), plain.data());
  memory target(wanted, CpuEngine(), bytes.data());
  dnnl::stream stream(CpuEngine());
  dnnl::reorder(source, target).execute(stream, source, target);
  stream.wait();
  return bytes;
}

WeightsDescs KeptLayout(const GruLayerShape& shape) {
  WeightsDescs kept;
  WithPrimitiveDesc(shape, {1, Bucket::kMaxRows}, [&kept](const auto& desc) {
    kept = {.weights_layer = desc.weights_layer_desc(), .weights_iter = desc.weights_iter_desc()};
  });
  return kept;
}

}  // namespace gruserve

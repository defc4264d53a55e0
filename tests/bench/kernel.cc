#include "tests/bench/kernel.h"

#include <cstddef>
#include <cstring>
#include <random>

#include "core/engine/dnnl_compat.h"

namespace gruserve::bench {
namespace {

using dnnl::memory;

constexpr int64_t kGates = 3;
constexpr int64_t kBiasGates = 4;

}  // namespace

Kernel::Kernel(const KernelShape& shape, bool bf16, bool packed)
    : engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      first_(MakeLayer(shape, shape.input_size, bf16, packed)),
      layers_(shape.layers) {
  if (layers_ > 1) other_ = MakeLayer(shape, shape.hidden_size, bf16, packed);
}

// Small random numbers: denormals and saturated gates cost another time.
dnnl::memory Kernel::Filled(const memory::desc& wanted, const memory::desc& plain) {
  memory source(plain, engine_);
  auto* data = static_cast<float*>(source.get_data_handle());
  std::mt19937 random(1);
  std::uniform_real_distribution<float> values(-0.1F, 0.1F);
  for (size_t i = 0; i < plain.get_size() / sizeof(float); ++i) data[i] = values(random);
  if (wanted == plain) return source;
  memory target(wanted, engine_);
  dnnl::reorder(source, target).execute(stream_, source, target);
  stream_.wait();
  return target;
}

Kernel::Layer Kernel::MakeLayer(const KernelShape& shape, int64_t input_size, bool bf16, bool packed) {
  using tag = memory::format_tag;
  const auto type = bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const auto f32 = memory::data_type::f32;
  const memory::dims src_layer = {shape.time_steps, shape.batch_size, input_size};
  const memory::dims dst_layer = {shape.time_steps, shape.batch_size, shape.hidden_size};
  const memory::dims iter = {1, 1, shape.batch_size, shape.hidden_size};
  const memory::dims weights_layer = {1, 1, input_size, kGates, shape.hidden_size};
  const memory::dims weights_iter = {1, 1, shape.hidden_size, kGates, shape.hidden_size};
  const memory::dims bias = {1, 1, kBiasGates, shape.hidden_size};
  const tag weights_tag = packed ? tag::any : tag::ldigo;

  GruMemoryDescs descs;
  descs.src_layer = {src_layer, type, tag::tnc};
  descs.src_iter = {iter, type, tag::ldnc};
  descs.weights_layer = {weights_layer, type, weights_tag};
  descs.weights_iter = {weights_iter, type, weights_tag};
  descs.bias = {bias, f32, tag::ldgo};
  descs.dst_layer = {dst_layer, type, tag::tnc};
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto desc = MakeGruPrimitiveDesc<dnnl::lbr_gru_forward>(engine_, descs, attributes);

  Layer layer;
  layer.primitive = dnnl::lbr_gru_forward(desc);
  layer.arguments = {
      {DNNL_ARG_SRC_LAYER, Filled(descs.src_layer, {src_layer, f32, tag::tnc})},
      {DNNL_ARG_SRC_ITER, Filled(descs.src_iter, {iter, f32, tag::ldnc})},
      {DNNL_ARG_WEIGHTS_LAYER, Filled(desc.weights_layer_desc(), {weights_layer, f32, tag::ldigo})},
      {DNNL_ARG_WEIGHTS_ITER, Filled(desc.weights_iter_desc(), {weights_iter, f32, tag::ldigo})},
      {DNNL_ARG_BIAS, Filled(descs.bias, {bias, f32, tag::ldgo})},
      {DNNL_ARG_DST_LAYER, memory(desc.dst_layer_desc(), engine_)},
      {DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine_)},
  };
  return layer;
}

void Kernel::Run() {
  first_.primitive.execute(stream_, first_.arguments);
  for (int64_t i = 1; i < layers_; ++i) other_.primitive.execute(stream_, other_.arguments);
}

}  // namespace gruserve::bench

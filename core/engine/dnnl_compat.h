// oneDNN 2.6 builds a primitive from a `desc`, 3.x does not; and each has its own
// packed weights. The only place that looks at the version.

#ifndef GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_
#define GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_

#include <oneapi/dnnl/dnnl.hpp>
#include <optional>

namespace gruserve {

struct GruMemoryDescs {
  dnnl::memory::desc src_layer;
  dnnl::memory::desc src_iter;
  dnnl::memory::desc weights_layer;
  dnnl::memory::desc weights_iter;
  dnnl::memory::desc bias;
  dnnl::memory::desc dst_layer;
};

// `Forward` is dnnl::gru_forward or dnnl::lbr_gru_forward. No dst_iter: it would
// repeat the last time step of dst_layer.
template <typename Forward>
typename Forward::primitive_desc MakeGruPrimitiveDesc(const dnnl::engine& engine, const GruMemoryDescs& descs,
                                                      const dnnl::primitive_attr& attr) {
  constexpr auto kPropKind = dnnl::prop_kind::forward_inference;
  constexpr auto kDirection = dnnl::rnn_direction::unidirectional_left2right;
#if DNNL_VERSION_MAJOR >= 3
  return typename Forward::primitive_desc(engine, kPropKind, kDirection, descs.src_layer, descs.src_iter,
                                          descs.weights_layer, descs.weights_iter, descs.bias,
                                          descs.dst_layer, dnnl::memory::desc(), attr);
#else
  const typename Forward::desc desc(kPropKind, kDirection, descs.src_layer, descs.src_iter,
                                    descs.weights_layer, descs.weights_iter, descs.bias, descs.dst_layer,
                                    dnnl::memory::desc());
  return typename Forward::primitive_desc(desc, attr, engine);
#endif
}

// The descriptors of the row ops' primitives: all forward, for inference, on plain
// [rows, features] memory.
inline dnnl::matmul::primitive_desc MakeMatmulDesc(const dnnl::engine& engine, const dnnl::memory::desc& src,
                                                   const dnnl::memory::desc& weights,
                                                   const dnnl::memory::desc& bias,
                                                   const dnnl::memory::desc& dst,
                                                   const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, src, weights, bias, dst, attr};
#else
  return {dnnl::matmul::desc(src, weights, bias, dst), attr, engine};
#endif
}

// Without a bias.
inline dnnl::inner_product_forward::primitive_desc MakeInnerProductDesc(const dnnl::engine& engine,
                                                                        const dnnl::memory::desc& src,
                                                                        const dnnl::memory::desc& weights,
                                                                        const dnnl::memory::desc& dst,
                                                                        const dnnl::primitive_attr& attr) {
  constexpr auto kPropKind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kPropKind, src, weights, dst, attr};
#else
  return {dnnl::inner_product_forward::desc(kPropKind, src, weights, dst), attr, engine};
#endif
}

inline dnnl::eltwise_forward::primitive_desc MakeEltwiseDesc(const dnnl::engine& engine,
                                                             dnnl::algorithm algorithm,
                                                             const dnnl::memory::desc& data, float alpha,
                                                             float beta, const dnnl::primitive_attr& attr) {
  constexpr auto kPropKind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kPropKind, algorithm, data, data, alpha, beta, attr};
#else
  return {dnnl::eltwise_forward::desc(kPropKind, algorithm, data, alpha, beta), attr, engine};
#endif
}

inline dnnl::binary::primitive_desc MakeBinaryDesc(const dnnl::engine& engine, dnnl::algorithm algorithm,
                                                   const dnnl::memory::desc& src_0,
                                                   const dnnl::memory::desc& src_1,
                                                   const dnnl::memory::desc& dst,
                                                   const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, algorithm, src_0, src_1, dst, attr};
#else
  return {dnnl::binary::desc(algorithm, src_0, src_1, dst), attr, engine};
#endif
}

inline dnnl::reduction::primitive_desc MakeReductionDesc(const dnnl::engine& engine,
                                                         dnnl::algorithm algorithm,
                                                         const dnnl::memory::desc& src,
                                                         const dnnl::memory::desc& dst,
                                                         const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, algorithm, src, dst, 0.0F, 0.0F, attr};
#else
  return {dnnl::reduction::desc(algorithm, src, dst, 0.0F, 0.0F), attr, engine};
#endif
}

// With both a scale and a shift.
inline dnnl::layer_normalization_forward::primitive_desc MakeLayerNormDesc(const dnnl::engine& engine,
                                                                           const dnnl::memory::desc& data,
                                                                           float epsilon,
                                                                           const dnnl::primitive_attr& attr) {
  constexpr auto kPropKind = dnnl::prop_kind::forward_inference;
  const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kPropKind, data, data, epsilon, flags, attr};
#else
  return {dnnl::layer_normalization_forward::desc(kPropKind, data, epsilon, flags), attr, engine};
#endif
}

// Over the features.
inline auto MakeSoftmaxDesc(const dnnl::engine& engine, const dnnl::memory::desc& data,
                            const dnnl::primitive_attr& attr) {
  constexpr auto kPropKind = dnnl::prop_kind::forward_inference;
  constexpr auto kAlgorithm = dnnl::algorithm::softmax_accurate;
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::softmax_forward::primitive_desc(engine, kPropKind, kAlgorithm, data, data, 1, attr);
#else
  return dnnl::softmax_v2_forward::primitive_desc(
      dnnl::softmax_v2_forward::desc(kPropKind, kAlgorithm, data, data, 1), attr, engine);
#endif
}

// Of a layout in blocks: how far apart the blocks lie along each dimension, and which
// dimensions each block has inside, of which sizes, the outermost first.
struct LayoutBlocks {
  dnnl::memory::dims strides;
  dnnl::memory::dims inner_sizes;
  dnnl::memory::dims inner_dimensions;
};

// Nothing where the layout is another, known to oneDNN alone.
inline std::optional<LayoutBlocks> BlocksOf(const dnnl::memory::desc& layout) {
#if DNNL_VERSION_MAJOR >= 3
  if (layout.get_format_kind() != dnnl::memory::format_kind::blocked) return std::nullopt;
  return LayoutBlocks{layout.get_strides(), layout.get_inner_blks(), layout.get_inner_idxs()};
#else
  if (layout.data.format_kind != dnnl_blocked) return std::nullopt;
  const dnnl_blocking_desc_t& blocks = layout.data.format_desc.blocking;
  return LayoutBlocks{{blocks.strides, blocks.strides + layout.data.ndims},
                      {blocks.inner_blks, blocks.inner_blks + blocks.inner_nblks},
                      {blocks.inner_idxs, blocks.inner_idxs + blocks.inner_nblks}};
#endif
}

// Whether weights laid out as `packed` says may be read by a primitive that wants
// them as `own` says. oneDNN 2.6 names in a packed layout the rows for which it is
// made, so that two are never equal; but the rows decide nothing about where a
// weight lies, as long as they are at most those of `packed`. With several parts,
// where a part begins depends on the sizes of those before it.
inline bool MayRead(const dnnl::memory::desc& packed, const dnnl::memory::desc& own) {
  if (packed == own) return true;
#if DNNL_VERSION_MAJOR >= 3
  return false;
#else
  if (packed.data.format_kind != dnnl_format_kind_rnn_packed ||
      own.data.format_kind != packed.data.format_kind)
    return false;
  const dnnl_rnn_packed_desc_t& a = packed.data.format_desc.rnn_packed_desc;
  const dnnl_rnn_packed_desc_t& b = own.data.format_desc.rnn_packed_desc;
  if (a.format != b.format || a.n_parts != b.n_parts || a.ldb != b.ldb || a.n < b.n) return false;
  for (int part = 0; part < a.n_parts; ++part) {
    if (a.parts[part] != b.parts[part] || a.pack_part[part] != b.pack_part[part]) return false;
    if (part + 1 < a.n_parts && a.part_pack_size[part] != b.part_pack_size[part]) return false;
  }
  return true;
#endif
}

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_

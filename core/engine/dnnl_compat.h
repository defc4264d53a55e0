// oneDNN 2.6 builds a primitive from a `desc`, 3.x does not; and each has its own
// packed weights. The only place that looks at the version.

#ifndef GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_
#define GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_

#include <oneapi/dnnl/dnnl.hpp>

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

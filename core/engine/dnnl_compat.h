// oneDNN 2.6 builds a primitive from a `desc`, 3.x does not: the only place that
// looks at the version.

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

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_DNNL_COMPAT_H_

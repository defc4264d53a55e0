#include "core/engine/gru_primitive.h"

#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_compat.h"
#include "core/engine/dnnl_status.h"

namespace gruserve {
namespace {

using dnnl::memory;

enum Slot : size_t {
  kSrcLayer,
  kSrcIter,
  kWeightsLayer,
  kWeightsIter,
  kBias,
  kDstLayer,
  kScratchpad,
  kSlots
};

constexpr std::array<int, kSlots> kDnnlArgs = {
    DNNL_ARG_SRC_LAYER, DNNL_ARG_SRC_ITER,  DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_WEIGHTS_ITER,
    DNNL_ARG_BIAS,      DNNL_ARG_DST_LAYER, DNNL_ARG_SCRATCHPAD};

// Never destroyed: primitives in static storage may outlive any order of ends.
const dnnl::engine& CpuEngine() {
  static const auto* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

// Plain formats, so that one copy of the weights serves every bucket.
GruMemoryDescs DescribeMemory(const GruLayerShape& shape, const Bucket& bucket) {
  const int64_t bias_rows = shape.cell_kind == CellKind::kLinearBeforeReset ? 4 : 3;
  const auto f32 = [](const memory::dims& dims, memory::format_tag tag) {
    return memory::desc(dims, memory::data_type::f32, tag);
  };
  const auto [cell_kind, input, hidden] = shape;
  const auto [steps, batch] = bucket;
  return {.src_layer = f32({steps, batch, input}, memory::format_tag::tnc),
          .src_iter = f32({1, 1, batch, hidden}, memory::format_tag::ldnc),
          .weights_layer = f32({1, 1, input, 3, hidden}, memory::format_tag::ldigo),
          .weights_iter = f32({1, 1, hidden, 3, hidden}, memory::format_tag::ldigo),
          .bias = f32({1, 1, bias_rows, hidden}, memory::format_tag::ldgo),
          .dst_layer = f32({steps, batch, hidden}, memory::format_tag::tnc)};
}

}  // namespace

struct GruPrimitive::Rep {
  dnnl::primitive primitive;
  dnnl::stream stream{CpuEngine()};
  std::array<memory, kSlots> memories;
  std::array<dnnl_exec_arg_t, kSlots> args{};
  int64_t scratchpad_bytes = 0;

  template <typename Forward>
  void Make(const GruLayerShape& shape, const Bucket& bucket) {
    const GruMemoryDescs descs = DescribeMemory(shape, bucket);
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto primitive_desc = MakeGruPrimitiveDesc<Forward>(CpuEngine(), descs, attr);
    primitive = Forward(primitive_desc);
    const memory::desc scratchpad = primitive_desc.scratchpad_desc();
    scratchpad_bytes = static_cast<int64_t>(scratchpad.get_size());
    const std::array<const memory::desc*, kSlots> by_slot = {
        &descs.src_layer, &descs.src_iter,  &descs.weights_layer, &descs.weights_iter,
        &descs.bias,      &descs.dst_layer, &scratchpad};
    for (size_t slot = 0; slot < kSlots; ++slot) {
      memories[slot] = memory(*by_slot[slot], CpuEngine(), DNNL_MEMORY_NONE);
      args[slot] = {kDnnlArgs[slot], memories[slot].get()};
    }
  }
};

GruPrimitive::GruPrimitive(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
GruPrimitive::GruPrimitive(GruPrimitive&&) noexcept = default;
GruPrimitive& GruPrimitive::operator=(GruPrimitive&&) noexcept = default;
GruPrimitive::~GruPrimitive() = default;

absl::StatusOr<GruPrimitive> GruPrimitive::Create(const GruLayerShape& shape, const Bucket& bucket) {
  std::unique_ptr<Rep> rep;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError(
      absl::StrCat("cannot make a GRU primitive of input_size ", shape.input_size, ", hidden_size ",
                   shape.hidden_size, ", time_steps ", bucket.time_steps, ", batch_size ", bucket.batch_size),
      [&] {
        rep = std::make_unique<Rep>();
        if (shape.cell_kind == CellKind::kLinearBeforeReset) {
          rep->Make<dnnl::lbr_gru_forward>(shape, bucket);
        } else {
          rep->Make<dnnl::gru_forward>(shape, bucket);
        }
      }));
  return GruPrimitive(std::move(rep));
}

int64_t GruPrimitive::scratchpad_bytes() const { return rep_->scratchpad_bytes; }

absl::Status GruPrimitive::Run(const GruArguments& arguments) {
  // oneDNN's memory takes a plain void*, also for what it only reads.
  const auto readable = [](const float* data) { return const_cast<float*>(data); };
  const std::array<void*, kSlots> data = {readable(arguments.src_layer),
                                          readable(arguments.src_iter),
                                          readable(arguments.weights->weights_layer.data()),
                                          readable(arguments.weights->weights_iter.data()),
                                          readable(arguments.weights->bias.data()),
                                          arguments.dst_layer,
                                          arguments.scratchpad};
  for (size_t slot = 0; slot < kSlots; ++slot) {
    GRUSERVE_RETURN_IF_ERROR(
        FromDnnlStatus("cannot hand data to a GRU primitive",
                       dnnl_memory_set_data_handle(rep_->args[slot].memory, data[slot])));
  }
  return FromDnnlStatus("cannot run a GRU primitive",
                        dnnl_primitive_execute(rep_->primitive.get(), rep_->stream.get(),
                                               static_cast<int>(kSlots), rep_->args.data()));
}

std::string DnnlFingerprint() {
  const dnnl_version_t* const version = dnnl_version();
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch, " isa 0x",
                      absl::Hex(static_cast<int>(dnnl_get_effective_cpu_isa())));
}

}  // namespace gruserve

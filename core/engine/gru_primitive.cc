#include "core/engine/gru_primitive.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/aligned_buffer.h"
#include "core/base/bf16.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

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

constexpr int64_t kBf16Bytes = sizeof(uint16_t);

constexpr std::array<int, kSlots> kDnnlArgs = {
    DNNL_ARG_SRC_LAYER, DNNL_ARG_SRC_ITER,  DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_WEIGHTS_ITER,
    DNNL_ARG_BIAS,      DNNL_ARG_DST_LAYER, DNNL_ARG_SCRATCHPAD};

int64_t Aligned(int64_t bytes) { return RoundUp(bytes, AlignedBuffer::kAlignment); }

}  // namespace

struct GruPrimitive::Rep {
  dnnl::primitive primitive;
  dnnl::stream stream{CpuEngine()};
  std::array<memory, kSlots> memories;
  std::array<dnnl_exec_arg_t, kSlots> args{};
  bool reads_kept_weights = false;

  // Numbers of src_layer, src_iter and dst_layer. For bf16 they lie behind
  // oneDNN's scratchpad too, rounded.
  bool bf16 = false;
  int64_t src_layer_size = 0;
  int64_t state_size = 0;
  int64_t dst_layer_size = 0;
  int64_t dnnl_bytes = 0;

  void Make(const GruLayerShape& shape, const Bucket& bucket) {
    bf16 = shape.dtype == ComputeDtype::kBf16;
    src_layer_size = bucket.time_steps * bucket.batch_size * shape.input_size;
    state_size = bucket.batch_size * shape.hidden_size;
    dst_layer_size = bucket.time_steps * state_size;
    WithPrimitiveDesc(shape, bucket, [&](const auto& desc) {
      const WeightsDescs kept =
          bf16 ? KeptLayout(shape) : WeightsDescs{desc.weights_layer_desc(), desc.weights_iter_desc()};
      reads_kept_weights = MayRead(kept.weights_layer, desc.weights_layer_desc()) &&
                           MayRead(kept.weights_iter, desc.weights_iter_desc());
      if (reads_kept_weights) Fill(desc);
    });
  }

  template <typename PrimitiveDesc>
  void Fill(const PrimitiveDesc& desc) {
    primitive = dnnl::primitive(desc);
    dnnl_bytes = static_cast<int64_t>(desc.scratchpad_desc().get_size());
    const std::array<memory::desc, kSlots> by_slot = {
        desc.src_layer_desc(), desc.src_iter_desc(),  desc.weights_layer_desc(), desc.weights_iter_desc(),
        desc.bias_desc(),      desc.dst_layer_desc(), desc.scratchpad_desc()};
    for (size_t slot = 0; slot < kSlots; ++slot) {
      memories[slot] = memory(by_slot[slot], CpuEngine(), DNNL_MEMORY_NONE);
      args[slot] = {kDnnlArgs[slot], memories[slot].get()};
    }
  }

  // Where the rounded arrays lie, in bytes behind oneDNN's own.
  int64_t src_iter_offset() const { return Aligned(src_layer_size * kBf16Bytes); }
  int64_t dst_layer_offset() const { return src_iter_offset() + Aligned(state_size * kBf16Bytes); }
  int64_t rounded_bytes() const { return dst_layer_offset() + Aligned(dst_layer_size * kBf16Bytes); }

  absl::Status Execute(const std::array<void*, kSlots>& data) {
    for (size_t slot = 0; slot < kSlots; ++slot) {
      GRUSERVE_RETURN_IF_ERROR(FromDnnlStatus("cannot hand data to a GRU primitive",
                                              dnnl_memory_set_data_handle(args[slot].memory, data[slot])));
    }
    return FromDnnlStatus(
        "cannot run a GRU primitive",
        dnnl_primitive_execute(primitive.get(), stream.get(), static_cast<int>(kSlots), args.data()));
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
        rep->Make(shape, bucket);
      }));
  if (!rep->reads_kept_weights) {
    return absl::FailedPreconditionError(absl::StrCat("time_steps ", bucket.time_steps, ", batch_size ",
                                                      bucket.batch_size,
                                                      " would need a copy of the weights of its own"));
  }
  return GruPrimitive(std::move(rep));
}

int64_t GruPrimitive::scratchpad_bytes() const {
  return rep_->bf16 ? Aligned(rep_->dnnl_bytes) + rep_->rounded_bytes() : rep_->dnnl_bytes;
}

absl::Status GruPrimitive::Run(const GruArguments& arguments) {
  // oneDNN's memory takes a plain void*, also for what it only reads.
  const auto readable = [](const float* data) { return const_cast<float*>(data); };
  std::array<void*, kSlots> data = {readable(arguments.src_layer),
                                    readable(arguments.src_iter),
                                    readable(arguments.weights->weights_layer.data()),
                                    readable(arguments.weights->weights_iter.data()),
                                    readable(arguments.weights->bias.data()),
                                    arguments.dst_layer,
                                    arguments.scratchpad};
  if (!rep_->bf16) return rep_->Execute(data);

  auto* const rounded = static_cast<std::byte*>(arguments.scratchpad) + Aligned(rep_->dnnl_bytes);
  auto* const src_layer = reinterpret_cast<uint16_t*>(rounded);
  auto* const src_iter = reinterpret_cast<uint16_t*>(rounded + rep_->src_iter_offset());
  auto* const dst_layer = reinterpret_cast<uint16_t*>(rounded + rep_->dst_layer_offset());
  RoundToBf16(arguments.src_layer, rep_->src_layer_size, src_layer);
  RoundToBf16(arguments.src_iter, rep_->state_size, src_iter);
  data[kSrcLayer] = src_layer;
  data[kSrcIter] = src_iter;
  data[kDstLayer] = dst_layer;
  GRUSERVE_RETURN_IF_ERROR(rep_->Execute(data));
  FromBf16(dst_layer, rep_->dst_layer_size, arguments.dst_layer);
  return absl::OkStatus();
}

std::string DnnlFingerprint() {
  const dnnl_version_t* const version = dnnl_version();
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch, " isa 0x",
                      absl::Hex(static_cast<int>(dnnl_get_effective_cpu_isa())));
}

}  // namespace gruserve

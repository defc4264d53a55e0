#include "core/engine/bf16_product.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/bf16.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_compat.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

using dnnl::memory;

// Inputs that oneDNN's kernels take in one go; those left over they add apart.
constexpr int64_t kInputGrain = 16;

enum Argument : size_t { kSrc, kWeights, kDst, kScratchpad, kArguments };
constexpr std::array<int, kArguments> kDnnlArguments = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST,
                                                        DNNL_ARG_SCRATCHPAD};

memory::desc Rows(int64_t rows, int64_t width, memory::data_type type) {
  return {{rows, width}, type, memory::format_tag::nc};
}

// One block of inputs.
struct Block {
  int64_t first = 0;
  int64_t inputs = 0;
  int64_t padded = 0;
  memory::desc layout;
  AlignedBuffer weights;  // bf16, as oneDNN lays them out.
};

// One block's product for one number of rows.
struct Part {
  dnnl::primitive primitive;
  memory::desc src;
  memory::desc dst;
  memory::desc scratchpad;
};

dnnl::inner_product_forward::primitive_desc Describe(int64_t rows, const Block& block, int64_t outputs,
                                                     const memory::desc& layout) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (block.first > 0) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
  auto desc = MakeInnerProductDesc(CpuEngine(), Rows(rows, block.padded, memory::data_type::bf16), layout,
                                   Rows(rows, outputs, memory::data_type::f32), attributes);
  // oneDNN's plain loops are there for any layout, a thousand times slower.
  if (std::string_view(desc.impl_info_str()).starts_with("ref")) {
    throw dnnl::error(dnnl_unimplemented, "no fast inner product of these rows and weights");
  }
  return desc;
}

AlignedBuffer LayOut(std::span<const WeightMatrix> parts, const Block& block, int64_t outputs) {
  AlignedBuffer plain(block.padded * outputs);
  int64_t column = 0;
  for (const WeightMatrix& part : parts) {
    for (int64_t input = 0; input < block.inputs; ++input) {
      std::memcpy(plain.data() + input * outputs + column, part.data + (block.first + input) * part.stride,
                  static_cast<size_t>(part.outputs) * sizeof(float));
    }
    column += part.outputs;
  }
  const memory::desc layout({outputs, block.padded}, memory::data_type::f32, memory::format_tag::io);
  return Reordered(plain, layout, block.layout);
}

}  // namespace

struct Bf16Product::Rep {
  int64_t inputs = 0;
  int64_t outputs = 0;
  std::vector<int64_t> rows;
  std::vector<Block> blocks;
  std::vector<std::vector<Part>> parts;  // By the number of rows, and by block.

  size_t IndexOf(int64_t row_count) const {
    return static_cast<size_t>(std::find(rows.begin(), rows.end(), row_count) - rows.begin());
  }
};

struct Bf16Product::Room::Rep {
  // What a Part is run with.
  struct Call {
    std::array<memory, kArguments> memories;
    std::array<dnnl_exec_arg_t, kArguments> arguments{};
  };

  dnnl::stream stream{CpuEngine()};
  Scratchpad rounded;  // A block of the rows, in bf16.
  Scratchpad scratchpad;
  std::vector<std::vector<std::optional<Call>>> calls;  // Made as they are wanted.

  explicit Rep(const Bf16Product::Rep& product) {
    int64_t widest = 0;
    for (const Block& block : product.blocks) widest = std::max(widest, block.padded);
    const int64_t most_rows = *std::max_element(product.rows.begin(), product.rows.end());
    rounded = Scratchpad(most_rows * widest * static_cast<int64_t>(sizeof(uint16_t)));
    int64_t bytes = 0;
    for (const std::vector<Part>& parts : product.parts) {
      for (const Part& part : parts)
        bytes = std::max(bytes, static_cast<int64_t>(part.scratchpad.get_size()));
      calls.emplace_back(parts.size());
    }
    scratchpad = Scratchpad(bytes);
  }

  // Puts `block` of the rows into `rounded`.
  void Round(int64_t rows, const float* src, int64_t inputs, const Block& block) {
    auto* target = static_cast<uint16_t*>(rounded.data());
    for (int64_t row = 0; row < rows; ++row, target += block.padded) {
      RoundToBf16(src + row * inputs + block.first, block.inputs, target);
      std::fill(target + block.inputs, target + block.padded, uint16_t{0});
    }
  }

  // Without weights and dst, which each run has of its own.
  Call MakeCall(const Part& part, const Block& block) {
    Call call;
    call.memories[kSrc] = memory(part.src, CpuEngine(), rounded.data());
    call.memories[kWeights] = memory(block.layout, CpuEngine(), DNNL_MEMORY_NONE);
    call.memories[kDst] = memory(part.dst, CpuEngine(), DNNL_MEMORY_NONE);
    call.memories[kScratchpad] = memory(part.scratchpad, CpuEngine(), scratchpad.data());
    for (size_t i = 0; i < kArguments; ++i) call.arguments[i] = {kDnnlArguments[i], call.memories[i].get()};
    return call;
  }
};

Bf16Product::Room::Room(const Bf16Product& product) : rep_(std::make_unique<Rep>(*product.rep_)) {}
Bf16Product::Room::Room(Room&&) noexcept = default;
Bf16Product::Room& Bf16Product::Room::operator=(Room&&) noexcept = default;
Bf16Product::Room::~Room() = default;

Bf16Product::Bf16Product(std::span<const WeightMatrix> parts, std::span<const int64_t> blocks,
                         std::span<const int64_t> rows)
    : rep_(std::make_unique<Rep>()) {
  rep_->rows.assign(rows.begin(), rows.end());
  rep_->parts.resize(rows.size());
  for (const WeightMatrix& part : parts) rep_->outputs += part.outputs;
  for (const int64_t inputs : blocks) {
    Block& block = rep_->blocks.emplace_back(
        Block{rep_->inputs, inputs, RoundUp(inputs, kInputGrain), memory::desc(), AlignedBuffer()});
    rep_->inputs += inputs;
    const memory::desc any({rep_->outputs, block.padded}, memory::data_type::bf16, memory::format_tag::any);
    block.layout = Describe(rows.front(), block, rep_->outputs, any).weights_desc();
    block.weights = LayOut(parts, block, rep_->outputs);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto desc = Describe(rows[i], block, rep_->outputs, block.layout);
      rep_->parts[i].push_back(
          {dnnl::inner_product_forward(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    }
  }
}

Bf16Product::Bf16Product(Bf16Product&&) noexcept = default;
Bf16Product& Bf16Product::operator=(Bf16Product&&) noexcept = default;
Bf16Product::~Bf16Product() = default;

absl::Status Bf16Product::Multiply(int64_t rows, const float* src, float* products, Room& room) const {
  const size_t index = rep_->IndexOf(rows);
  for (size_t i = 0; i < rep_->blocks.size(); ++i) {
    const Block& block = rep_->blocks[i];
    const Part& part = rep_->parts[index][i];
    room.rep_->Round(rows, src, rep_->inputs, block);
    std::optional<Room::Rep::Call>& call = room.rep_->calls[index][i];
    if (!call.has_value()) {
      GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make the arguments of a bf16 product",
                                              [&] { call = room.rep_->MakeCall(part, block); }));
    }
    // oneDNN's memory takes a plain void*, also for what it only reads.
    void* const weights = const_cast<float*>(block.weights.data());
    GRUSERVE_RETURN_IF_ERROR(
        FromDnnlStatus("cannot hand weights to a bf16 product",
                       dnnl_memory_set_data_handle(call->arguments[kWeights].memory, weights)));
    GRUSERVE_RETURN_IF_ERROR(
        FromDnnlStatus("cannot hand data to a bf16 product",
                       dnnl_memory_set_data_handle(call->arguments[kDst].memory, products)));
    GRUSERVE_RETURN_IF_ERROR(FromDnnlStatus(
        "cannot run a bf16 product",
        dnnl_primitive_execute(part.primitive.get(), room.rep_->stream.get(),
                               static_cast<int>(call->arguments.size()), call->arguments.data())));
  }
  return absl::OkStatus();
}

}  // namespace gruserve

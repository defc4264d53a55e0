#include "core/engine/gru_layer_weights.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/bf16.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {
namespace {

using dnnl::memory;

constexpr int64_t kGates = 3;

// What number `place` along a dimension adds to where it lies.
int64_t OffsetAlong(int64_t dimension, int64_t place, const LayoutBlocks& blocks) {
  int64_t offset = 0;
  int64_t size = 1;  // Of what lies further inside.
  for (size_t i = blocks.inner_sizes.size(); i-- > 0;) {
    const int64_t inner = blocks.inner_sizes[i];
    if (blocks.inner_dimensions[i] == dimension) {
      offset += place % inner * size;
      place /= inner;
    }
    size *= inner;
  }
  return offset + place * blocks.strides[static_cast<size_t>(dimension)];
}

// `plain`, [inputs, gates, hidden] in f32, rounded to bf16 in the blocks of `wanted`. Not by
// oneDNN's own reorder: that of 3.7.2 loses weights where `inputs` is odd, or `hidden` is one.
AlignedBuffer InBf16Blocks(const AlignedBuffer& plain, int64_t inputs, int64_t hidden,
                           const memory::desc& wanted, const LayoutBlocks& blocks) {
  constexpr int64_t kInputs = 2, kGate = 3, kUnits = 4;  // Dimensions.
  std::vector<int64_t> of_unit;
  for (int64_t unit = 0; unit < hidden; ++unit) of_unit.push_back(OffsetAlong(kUnits, unit, blocks));
  AlignedBuffer bytes(CeilDivide(static_cast<int64_t>(wanted.get_size()), int64_t{sizeof(float)}));
  auto* const target = reinterpret_cast<uint16_t*>(bytes.data());
  const float* source = plain.data();
  for (int64_t input = 0; input < inputs; ++input) {
    for (int64_t gate = 0; gate < kGates; ++gate) {
      uint16_t* const row = target + OffsetAlong(kInputs, input, blocks) + OffsetAlong(kGate, gate, blocks);
      for (const int64_t offset : of_unit) row[offset] = RoundToBf16(*source++);
    }
  }
  return bytes;
}

AlignedBuffer LaidOut(AlignedBuffer plain, int64_t inputs, const GruLayerShape& shape,
                      const memory::desc& wanted) {
  const int64_t hidden = shape.hidden_size;
  const bool bf16 = shape.dtype == ComputeDtype::kBf16;
  const memory::desc ldigo({1, 1, inputs, kGates, hidden}, memory::data_type::f32, memory::format_tag::ldigo);
  if (wanted == ldigo) return plain;
  const std::optional<LayoutBlocks> blocks = bf16 ? BlocksOf(wanted) : std::nullopt;
  return blocks ? InBf16Blocks(plain, inputs, hidden, wanted, *blocks) : Reordered(plain, ldigo, wanted);
}

}  // namespace

absl::StatusOr<GruLayerWeights> LayOutWeights(const GruLayerShape& shape, GruLayerWeights plain) {
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot lay out the weights", [&] {
    const WeightsDescs kept = KeptLayout(shape);
    plain.weights_layer =
        LaidOut(std::move(plain.weights_layer), shape.input_size, shape, kept.weights_layer);
    plain.weights_iter = LaidOut(std::move(plain.weights_iter), shape.hidden_size, shape, kept.weights_iter);
  }));
  return plain;
}

}  // namespace gruserve

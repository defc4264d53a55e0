#include "core/engine/lone_row.h"

#include <utility>

#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_gates.h"
#include "core/engine/in_place_function.h"
#include "core/engine/row_product.h"

namespace gruserve {
namespace {

constexpr int64_t kGates = 3;  // u, r, o

}  // namespace

struct LoneRow::Rep {
  // Where the parts of the scratchpad begin, each on a boundary.
  struct Room {
    float* projections;  // [T, 3, H]: what the inputs add to the gates.
    float* product;      // [3, H]: what the state adds.
    float* partial;      // [3, H]
    float* gates;        // [2, H]: u, r.
    float* candidate;    // [H]
  };

  GruLayerShape shape;
  Bucket bucket;
  InPlaceFunction sigmoid;
  InPlaceFunction tanh;

  Rep(const GruLayerShape& of, const Bucket& in)
      : shape(of),
        bucket(in),
        sigmoid(dnnl::algorithm::eltwise_logistic, 2 * of.hidden_size),
        tanh(dnnl::algorithm::eltwise_tanh, of.hidden_size) {}

  // Numbers of one array of [H], up to the next boundary.
  int64_t stride() const {
    constexpr int64_t kBoundary = AlignedBuffer::kAlignment / sizeof(float);
    return RoundUp(shape.hidden_size, kBoundary);
  }
  int64_t floats() const { return (kGates * bucket.time_steps + 2 * kGates + 2 + 1) * stride(); }

  Room RoomIn(void* scratchpad) const {
    Room room{};
    room.projections = static_cast<float*>(scratchpad);
    room.product = room.projections + bucket.time_steps * kGates * stride();
    room.partial = room.product + kGates * stride();
    room.gates = room.partial + kGates * stride();
    room.candidate = room.gates + 2 * stride();
    return room;
  }

  absl::Status Project(const GruArguments& arguments, const Room& room) const {
    const int64_t width = kGates * shape.hidden_size;
    const WeightMatrix weights = {arguments.weights->weights_layer.data(), shape.input_size, width,
                                  WeightStride(width)};
    if (bucket.time_steps > 1) {
      return MultiplyRows(bucket.time_steps, arguments.src_layer, weights, room.projections, width);
    }
    return MultiplyOneRow(arguments.src_layer, weights, bucket.lone_row_block, room.projections,
                          room.partial);
  }

  absl::Status Step(const GruLayerWeights& weights, const float* projection, const float* before,
                    float* after, const Room& room) {
    const int64_t hidden = shape.hidden_size;
    const int64_t width = kGates * hidden;
    const float* const bias = weights.bias.data();  // Gates u, r, o, and the product's o.
    GRUSERVE_RETURN_IF_ERROR(MultiplyOneRow(before,
                                            {weights.weights_iter.data(), hidden, width, WeightStride(width)},
                                            bucket.lone_row_block, room.product, room.partial));
    SumGate(2 * hidden, projection, bias, room.product, room.gates);
    GRUSERVE_RETURN_IF_ERROR(sigmoid.Apply(room.gates));
    SumCandidate(hidden, projection + 2 * hidden, bias + 2 * hidden, room.product + 2 * hidden,
                 bias + 3 * hidden, room.gates + hidden, room.candidate);
    GRUSERVE_RETURN_IF_ERROR(tanh.Apply(room.candidate));
    BlendState(hidden, room.gates, before, room.candidate, after);
    return absl::OkStatus();
  }
};

LoneRow::LoneRow(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
LoneRow::LoneRow(LoneRow&&) noexcept = default;
LoneRow& LoneRow::operator=(LoneRow&&) noexcept = default;
LoneRow::~LoneRow() = default;

bool LoneRow::Fits(const GruLayerShape& shape) {
  return shape.cell_kind == CellKind::kLinearBeforeReset && shape.dtype == ComputeDtype::kF32;
}

absl::StatusOr<LoneRow> LoneRow::Create(const GruLayerShape& shape, const Bucket& bucket) {
  std::unique_ptr<Rep> rep;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make the functions of a lone row",
                                          [&] { rep = std::make_unique<Rep>(shape, bucket); }));
  return LoneRow(std::move(rep));
}

int64_t LoneRow::scratchpad_bytes() const { return rep_->floats() * static_cast<int64_t>(sizeof(float)); }

absl::Status LoneRow::Run(const GruArguments& arguments) {
  const Rep::Room room = rep_->RoomIn(arguments.scratchpad);
  GRUSERVE_RETURN_IF_ERROR(rep_->Project(arguments, room));
  const int64_t hidden = rep_->shape.hidden_size;
  const float* before = arguments.src_iter;
  for (int64_t t = 0; t < rep_->bucket.time_steps; ++t) {
    float* const after = arguments.dst_layer + t * hidden;
    GRUSERVE_RETURN_IF_ERROR(
        rep_->Step(*arguments.weights, room.projections + t * kGates * hidden, before, after, room));
    before = after;
  }
  return absl::OkStatus();
}

}  // namespace gruserve

#include "core/engine/gru_columns.h"

#include <cstddef>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_gates.h"
#include "core/engine/in_place_function.h"
#include "core/engine/row_product.h"

namespace gruserve {
namespace {

constexpr int64_t kGates = 3;  // u, r, o
// Below, meeting at each step costs more than half a step takes.
constexpr int64_t kMinHiddenSize = 192;

}  // namespace

struct GruColumns::Functions {
  std::array<InPlaceFunction, kMaxBatchSize> sigmoid;  // Of u and r.
  std::array<InPlaceFunction, kMaxBatchSize> tanh;

  explicit Functions(int64_t block_size) {
    for (int64_t batch = 1; batch <= kMaxBatchSize; ++batch) {
      const auto at = static_cast<size_t>(batch - 1);
      sigmoid[at] = InPlaceFunction(dnnl::algorithm::eltwise_logistic, 2 * batch * block_size);
      tanh[at] = InPlaceFunction(dnnl::algorithm::eltwise_tanh, batch * block_size);
    }
  }
  // Those of `other`, for another thread: a request makes workspaces, and no primitives.
  Functions(const Functions& other) {
    for (size_t at = 0; at < sigmoid.size(); ++at) {
      sigmoid[at] = other.sigmoid[at].Again();
      tanh[at] = other.tanh[at].Again();
    }
  }
};

struct GruColumns::Workspace::Rep {
  AlignedBuffer product;    // [N, 3, block_size]
  AlignedBuffer partial;    // [3, block_size]
  AlignedBuffer gates;      // [N, 2, block_size]
  AlignedBuffer candidate;  // [N, block_size]
  Functions functions;

  explicit Rep(const GruColumns& columns)
      : product(kMaxBatchSize * kGates * columns.block_size()),
        partial(kGates * columns.block_size()),
        gates(kMaxBatchSize * 2 * columns.block_size()),
        candidate(kMaxBatchSize * columns.block_size()),
        functions(*columns.functions_) {}
};

GruColumns::Workspace::Workspace(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
GruColumns::Workspace::Workspace(Workspace&&) noexcept = default;
GruColumns::Workspace& GruColumns::Workspace::operator=(Workspace&&) noexcept = default;
GruColumns::Workspace::~Workspace() = default;

absl::StatusOr<GruColumns::Workspace> GruColumns::Workspace::Create(const GruColumns& columns) {
  std::unique_ptr<Rep> rep;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make room for blocks of columns",
                                          [&] { rep = std::make_unique<Rep>(columns); }));
  return Workspace(std::move(rep));
}

bool GruColumns::Fits(const GruLayerShape& shape) {
  return shape.cell_kind == CellKind::kLinearBeforeReset && shape.dtype == ComputeDtype::kF32 &&
         shape.hidden_size >= kMinHiddenSize && shape.hidden_size % kBlocks == 0;
}

GruColumns::GruColumns(const GruLayerShape& shape, const GruLayerWeights& weights, int64_t lone_row_block)
    : shape_(shape), lone_row_block_(lone_row_block) {
  const int64_t hidden = shape.hidden_size;
  for (int64_t block = 0; block < kBlocks; ++block) {
    std::array<WeightMatrix, kGates> gates;
    for (int64_t gate = 0; gate < kGates; ++gate) {
      gates[static_cast<size_t>(gate)] = {weights.weights_iter.data() + gate * hidden + block * block_size(),
                                          hidden, block_size(), kGates * hidden};
    }
    weights_iter_.emplace_back(gates);
  }
}

GruColumns::~GruColumns() = default;

absl::StatusOr<std::unique_ptr<const GruColumns>> GruColumns::Create(const GruLayerShape& shape,
                                                                     const GruLayerWeights& weights,
                                                                     int64_t lone_row_block) {
  std::unique_ptr<GruColumns> columns(new GruColumns(shape, weights, lone_row_block));
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make element-wise primitives", [&] {
    columns->functions_ = std::make_unique<const Functions>(columns->block_size());
  }));
  return columns;
}

absl::Status GruColumns::Project(const GruLayerWeights& weights, int block, int64_t rows,
                                 const float* src_layer, float* projection, float* partial) const {
  const int64_t size = block_size();
  WeightMatrix gate = {weights.weights_layer.data() + block * size, shape_.input_size, size,
                       kGates * shape_.hidden_size};
  for (float* target = projection; target < projection + kGates * size; target += size) {
    GRUSERVE_RETURN_IF_ERROR(rows == 1 ? MultiplyOneRow(src_layer, gate, lone_row_block_, target, partial)
                                       : MultiplyRows(rows, src_layer, gate, target, kGates * size));
    gate.data += shape_.hidden_size;
  }
  return absl::OkStatus();
}

absl::Status GruColumns::Step(const GruLayerWeights& weights, int block, int64_t batch_size,
                              const float* projection, const float* src_iter, float* dst,
                              Workspace& workspace) const {
  const int64_t hidden = shape_.hidden_size;
  const int64_t size = block_size();
  const auto at = static_cast<size_t>(batch_size - 1);
  Workspace::Rep& room = *workspace.rep_;
  GRUSERVE_RETURN_IF_ERROR(weights_iter_[static_cast<size_t>(block)].Multiply(
      batch_size, src_iter, lone_row_block_, room.product.data(), room.partial.data()));
  const float* const bias = weights.bias.data() + block * size;  // Gates u, r, o, and the product's o.
  for (int64_t n = 0; n < batch_size; ++n) {
    for (int64_t gate = 0; gate < 2; ++gate) {
      const int64_t offset = (n * kGates + gate) * size;
      SumGate(size, projection + offset, bias + gate * hidden, room.product.data() + offset,
              room.gates.data() + (n * 2 + gate) * size);
    }
  }
  GRUSERVE_RETURN_IF_ERROR(room.functions.sigmoid[at].Apply(room.gates.data()));
  for (int64_t n = 0; n < batch_size; ++n) {
    const int64_t offset = (n * kGates + 2) * size;
    SumCandidate(size, projection + offset, bias + 2 * hidden, room.product.data() + offset,
                 bias + 3 * hidden, room.gates.data() + (n * 2 + 1) * size, room.candidate.data() + n * size);
  }
  GRUSERVE_RETURN_IF_ERROR(room.functions.tanh[at].Apply(room.candidate.data()));
  for (int64_t n = 0; n < batch_size; ++n) {
    const int64_t place = n * hidden + block * size;
    BlendState(size, room.gates.data() + n * 2 * size, src_iter + place, room.candidate.data() + n * size,
               dst + place);
  }
  return absl::OkStatus();
}

}  // namespace gruserve

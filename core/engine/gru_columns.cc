#include "core/engine/gru_columns.h"

#include <cstddef>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/bf16.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_gates.h"
#include "core/engine/in_place_function.h"

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
  // Those of `other`, for another thread: a workspace makes no primitives.
  Functions(const Functions& other) {
    for (size_t at = 0; at < sigmoid.size(); ++at) {
      sigmoid[at] = other.sigmoid[at].Again();
      tanh[at] = other.tanh[at].Again();
    }
  }
};

struct GruColumns::Workspace::Rep {
  AlignedBuffer product;    // [N, 3, block_size]
  AlignedBuffer gates;      // [N, 2, block_size]
  AlignedBuffer candidate;  // [N, block_size]
  AlignedBuffer before;     // bf16: [block_size], of the state that is blended.
  Functions functions;
  std::unique_ptr<ColumnProducts::Room> room;

  explicit Rep(const GruColumns& columns)
      : product(kMaxBatchSize * kGates * columns.block_size()),
        gates(kMaxBatchSize * 2 * columns.block_size()),
        candidate(kMaxBatchSize * columns.block_size()),
        before(columns.block_size()),
        functions(*columns.functions_),
        room(columns.products_->MakeRoom()) {}
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
  return shape.cell_kind == CellKind::kLinearBeforeReset && shape.hidden_size >= kMinHiddenSize &&
         shape.hidden_size % kBlocks == 0;
}

GruColumns::GruColumns(const GruLayerShape& shape) : shape_(shape) {}

GruColumns::~GruColumns() = default;

absl::StatusOr<std::unique_ptr<const GruColumns>> GruColumns::Create(const GruLayerShape& shape,
                                                                     const GruLayerWeights& weights,
                                                                     const SummationOrder& order) {
  std::unique_ptr<GruColumns> columns(new GruColumns(shape));
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make the primitives of blocks of columns", [&] {
    columns->products_ =
        ColumnProducts::Create(shape, weights, order, kBlocks, kMaxBatchSize, kMaxProjectedSteps);
    columns->functions_ = std::make_unique<const Functions>(columns->block_size());
  }));
  return columns;
}

absl::Status GruColumns::Project(const GruLayerWeights& weights, int block, int64_t rows,
                                 const float* src_layer, float* projection, Workspace& workspace) const {
  return products_->OfInputs(weights, block, rows, src_layer, projection, *workspace.rep_->room);
}

absl::Status GruColumns::Step(const GruLayerWeights& weights, int block, int64_t batch_size,
                              const float* projection, const float* src_iter, float* dst,
                              Workspace& workspace) const {
  const int64_t hidden = shape_.hidden_size;
  const int64_t size = block_size();
  const auto at = static_cast<size_t>(batch_size - 1);
  Workspace::Rep& room = *workspace.rep_;
  GRUSERVE_RETURN_IF_ERROR(products_->OfStates(block, batch_size, src_iter, room.product.data(), *room.room));
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
  const bool rounds = shape_.dtype == ComputeDtype::kBf16;
  for (int64_t n = 0; n < batch_size; ++n) {
    const int64_t place = n * hidden + block * size;
    const float* before = src_iter + place;
    if (rounds) {
      RoundInBf16(before, size, room.before.data());
      before = room.before.data();
    }
    BlendState(size, room.gates.data() + n * 2 * size, before, room.candidate.data() + n * size, dst + place);
    if (rounds) RoundInBf16(dst + place, size, dst + place);
  }
  return absl::OkStatus();
}

}  // namespace gruserve

#include "core/engine/gru_columns.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/dnnl_compat.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_gates.h"
#include "core/engine/gru_layout.h"

namespace gruserve {
namespace {

constexpr int64_t kGates = 3;  // u, r, o
// Below, meeting at each step costs more than half a step takes.
constexpr int64_t kMinHiddenSize = 192;

dnnl::memory::desc Numbers(int64_t count) {
  return {{count}, dnnl::memory::data_type::f32, dnnl::memory::dims{1}};
}

dnnl::primitive MakeFunction(dnnl::algorithm algorithm, int64_t count) {
  return dnnl::eltwise_forward(MakeEltwiseDesc(CpuEngine(), algorithm, Numbers(count), 0, 0, {}));
}

// c[m, n] = a[m, k] * b[k, n]; rows of b and c lie `ldb` and `ldc` numbers apart.
absl::Status Multiply(int64_t m, int64_t n, int64_t k, const float* a, const float* b, int64_t ldb, float* c,
                      int64_t ldc) {
  return FromDnnlStatus("cannot multiply a block of columns",
                        dnnl_sgemm('N', 'N', m, n, k, 1.0F, a, k, b, ldb, 0.0F, c, ldc));
}

}  // namespace

// By batch size, from 1 on.
struct GruColumns::Functions {
  std::array<dnnl::primitive, kMaxBatchSize> sigmoid;  // Of u and r.
  std::array<dnnl::primitive, kMaxBatchSize> tanh;

  explicit Functions(int64_t block_size) {
    for (int64_t batch = 1; batch <= kMaxBatchSize; ++batch) {
      const auto at = static_cast<size_t>(batch - 1);
      sigmoid[at] = MakeFunction(dnnl::algorithm::eltwise_logistic, 2 * batch * block_size);
      tanh[at] = MakeFunction(dnnl::algorithm::eltwise_tanh, batch * block_size);
    }
  }
};

struct GruColumns::Workspace::Rep {
  // A function's argument, in place: the same numbers in and out.
  struct InPlace {
    dnnl::memory memory;
    std::array<dnnl_exec_arg_t, 2> args{};

    InPlace() = default;
    InPlace(int64_t count, float* data) : memory(Numbers(count), CpuEngine(), data) {
      args = {dnnl_exec_arg_t{DNNL_ARG_SRC, memory.get()}, dnnl_exec_arg_t{DNNL_ARG_DST, memory.get()}};
    }
  };

  dnnl::stream stream{CpuEngine()};
  AlignedBuffer product;    // [N, 3, block_size]
  AlignedBuffer gates;      // [N, 2, block_size]
  AlignedBuffer candidate;  // [N, block_size]
  std::array<InPlace, kMaxBatchSize> gates_of;
  std::array<InPlace, kMaxBatchSize> candidate_of;

  explicit Rep(int64_t block_size)
      : product(kMaxBatchSize * kGates * block_size),
        gates(kMaxBatchSize * 2 * block_size),
        candidate(kMaxBatchSize * block_size) {
    for (int64_t batch = 1; batch <= kMaxBatchSize; ++batch) {
      const auto at = static_cast<size_t>(batch - 1);
      gates_of[at] = InPlace(2 * batch * block_size, gates.data());
      candidate_of[at] = InPlace(batch * block_size, candidate.data());
    }
  }

  absl::Status Apply(const dnnl::primitive& function, const InPlace& numbers) {
    return FromDnnlStatus("cannot run an element-wise primitive",
                          dnnl_primitive_execute(function.get(), stream.get(),
                                                 static_cast<int>(numbers.args.size()), numbers.args.data()));
  }
};

GruColumns::Workspace::Workspace(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
GruColumns::Workspace::Workspace(Workspace&&) noexcept = default;
GruColumns::Workspace& GruColumns::Workspace::operator=(Workspace&&) noexcept = default;
GruColumns::Workspace::~Workspace() = default;

absl::StatusOr<GruColumns::Workspace> GruColumns::Workspace::Create(const GruColumns& columns) {
  std::unique_ptr<Rep> rep;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make room for blocks of columns",
                                          [&] { rep = std::make_unique<Rep>(columns.block_size()); }));
  return Workspace(std::move(rep));
}

bool GruColumns::Fits(const GruLayerShape& shape) {
  return shape.cell_kind == CellKind::kLinearBeforeReset && shape.dtype == ComputeDtype::kF32 &&
         shape.hidden_size >= kMinHiddenSize && shape.hidden_size % (kBlocks * kGateLanes) == 0;
}

absl::StatusOr<std::unique_ptr<const GruColumns>> GruColumns::Create(const GruLayerShape& shape,
                                                                     const GruLayerWeights& weights) {
  std::unique_ptr<const Functions> functions;
  GRUSERVE_RETURN_IF_ERROR(CatchDnnlError("cannot make element-wise primitives", [&] {
    functions = std::make_unique<const Functions>(shape.hidden_size / kBlocks);
  }));
  std::unique_ptr<GruColumns> columns(new GruColumns(shape, std::move(functions)));
  const int64_t size = columns->block_size();
  for (int64_t block = 0; block < kBlocks; ++block) {
    AlignedBuffer& own = columns->weights_iter_[static_cast<size_t>(block)];
    own = AlignedBuffer(shape.hidden_size * kGates * size);
    const float* source = weights.weights_iter.data() + block * size;
    for (int64_t i = 0; i < shape.hidden_size * kGates; ++i, source += shape.hidden_size) {
      std::memcpy(own.data() + i * size, source, static_cast<size_t>(size) * sizeof(float));
    }
  }
  return columns;
}

GruColumns::GruColumns(const GruLayerShape& shape, std::unique_ptr<const Functions> functions)
    : shape_(shape), functions_(std::move(functions)) {}

GruColumns::~GruColumns() = default;

absl::Status GruColumns::Project(const GruLayerWeights& weights, int block, int64_t rows,
                                 const float* src_layer, float* projection) const {
  const int64_t size = block_size();
  for (int64_t gate = 0; gate < kGates; ++gate) {
    GRUSERVE_RETURN_IF_ERROR(Multiply(rows, size, shape_.input_size, src_layer,
                                      weights.weights_layer.data() + gate * shape_.hidden_size + block * size,
                                      kGates * shape_.hidden_size, projection + gate * size, kGates * size));
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
  const AlignedBuffer& weights_iter = weights_iter_[static_cast<size_t>(block)];
  GRUSERVE_RETURN_IF_ERROR(Multiply(batch_size, kGates * size, hidden, src_iter, weights_iter.data(),
                                    kGates * size, room.product.data(), kGates * size));
  const float* const bias = weights.bias.data() + block * size;  // Gates u, r, o, and the product's o.
  for (int64_t n = 0; n < batch_size; ++n) {
    for (int64_t gate = 0; gate < 2; ++gate) {
      const int64_t offset = (n * kGates + gate) * size;
      SumGate(size, projection + offset, bias + gate * hidden, room.product.data() + offset,
              room.gates.data() + (n * 2 + gate) * size);
    }
  }
  GRUSERVE_RETURN_IF_ERROR(room.Apply(functions_->sigmoid[at], room.gates_of[at]));
  for (int64_t n = 0; n < batch_size; ++n) {
    const int64_t offset = (n * kGates + 2) * size;
    SumCandidate(size, projection + offset, bias + 2 * hidden, room.product.data() + offset,
                 bias + 3 * hidden, room.gates.data() + (n * 2 + 1) * size, room.candidate.data() + n * size);
  }
  GRUSERVE_RETURN_IF_ERROR(room.Apply(functions_->tanh[at], room.candidate_of[at]));
  for (int64_t n = 0; n < batch_size; ++n) {
    const int64_t place = n * hidden + block * size;
    BlendState(size, room.gates.data() + n * 2 * size, src_iter + place, room.candidate.data() + n * size,
               dst + place);
  }
  return absl::OkStatus();
}

}  // namespace gruserve

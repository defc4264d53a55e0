#include "core/engine/row_primitive.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/dnnl_compat.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {
namespace {

using dnnl::algorithm;
using dnnl::memory;

// One oneDNN primitive with its memories, and which array each of them is.
class Call {
 public:
  enum Array : size_t { kSrc, kSecond, kFirstConstant, kSecondConstant, kDst, kScratchpad, kArrays };
  struct Argument {
    int name;
    Array array;
    memory::desc desc;
  };

  Call(const dnnl::primitive& primitive, const std::vector<Argument>& arguments) : primitive_(primitive) {
    for (const Argument& argument : arguments) {
      memories_.push_back(memory(argument.desc, CpuEngine(), DNNL_MEMORY_NONE));
      arrays_.push_back(argument.array);
      args_.push_back({argument.name, memories_.back().get()});
    }
  }

  absl::Status Execute(const std::array<void*, kArrays>& arrays) {
    for (size_t i = 0; i < args_.size(); ++i) {
      GRUSERVE_RETURN_IF_ERROR(
          FromDnnlStatus("cannot hand data to a row primitive",
                         dnnl_memory_set_data_handle(args_[i].memory, arrays[arrays_[i]])));
    }
    return FromDnnlStatus("cannot run a row primitive",
                          dnnl_primitive_execute(primitive_.get(), stream_.get(),
                                                 static_cast<int>(args_.size()), args_.data()));
  }

 private:
  dnnl::primitive primitive_;
  dnnl::stream stream_{CpuEngine()};
  std::vector<memory> memories_;
  std::vector<Array> arrays_;
  std::vector<dnnl_exec_arg_t> args_;
};

memory::desc Plain(int64_t rows, int64_t columns) {
  return {{rows, columns}, memory::data_type::f32, memory::format_tag::ab};
}

memory::desc Line(int64_t columns) { return {{columns}, memory::data_type::f32, memory::format_tag::a}; }

struct Eltwise {
  algorithm function;
  float alpha = 0;
  float beta = 0;
};

// One after the other. Empty for what the C library computes: oneDNN has no erf, and
// its log is off by 2e-6 in 2.6.
std::vector<Eltwise> EltwiseOf(const RowOp& op) {
  const float a = op.alpha;
  const float b = op.beta;
  switch (op.unary) {
    case UnaryFunction::kAbs:
      return {{algorithm::eltwise_abs}};
    case UnaryFunction::kClip:
      return {{algorithm::eltwise_clip, a, b}};
    case UnaryFunction::kElu:
      return {{algorithm::eltwise_elu, a}};
    case UnaryFunction::kErf:
    case UnaryFunction::kLog:
      return {};
    case UnaryFunction::kExp:
      return {{algorithm::eltwise_exp}};
    case UnaryFunction::kGeluErf:
      return {{algorithm::eltwise_gelu_erf}};
    case UnaryFunction::kGeluTanh:
      return {{algorithm::eltwise_gelu_tanh}};
    case UnaryFunction::kHardSigmoid:
      return {{algorithm::eltwise_linear, a, b}, {algorithm::eltwise_clip, 0, 1}};
    case UnaryFunction::kLeakyRelu:
      return {{algorithm::eltwise_relu, a}};
    case UnaryFunction::kLinear:
      return {{algorithm::eltwise_linear, a, b}};
    case UnaryFunction::kPow:
      return {{algorithm::eltwise_pow, a, b}};
    case UnaryFunction::kSigmoid:
      return {{algorithm::eltwise_logistic}};
    case UnaryFunction::kSoftplus:
      return {{algorithm::eltwise_soft_relu, 1}};
    case UnaryFunction::kSqrt:
      return {{algorithm::eltwise_sqrt}};
    case UnaryFunction::kSquare:
      return {{algorithm::eltwise_square}};
    case UnaryFunction::kSwish:
      return {{algorithm::eltwise_swish, a}};
    case UnaryFunction::kTanh:
      return {{algorithm::eltwise_tanh}};
  }
  return {};
}

algorithm AlgorithmOf(BinaryFunction function) {
  switch (function) {
    case BinaryFunction::kAdd:
      return algorithm::binary_add;
    case BinaryFunction::kSub:
      return algorithm::binary_sub;
    case BinaryFunction::kMul:
      return algorithm::binary_mul;
    case BinaryFunction::kDiv:
      return algorithm::binary_div;
    case BinaryFunction::kMin:
      return algorithm::binary_min;
    case BinaryFunction::kMax:
      return algorithm::binary_max;
  }
  return algorithm::undef;
}

algorithm AlgorithmOf(ReduceFunction function) {
  switch (function) {
    case ReduceFunction::kMean:
      return algorithm::reduction_mean;
    case ReduceFunction::kSum:
      return algorithm::reduction_sum;
    case ReduceFunction::kMax:
      return algorithm::reduction_max;
    case ReduceFunction::kMin:
      return algorithm::reduction_min;
  }
  return algorithm::undef;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

void KeepNaNs(const float* src, int64_t count, float* dst) {
  for (int64_t i = 0; i < count; ++i) dst[i] = std::isnan(src[i]) ? src[i] : dst[i];
}

bool HasNaN(const float* row, int64_t width) {
  bool found = false;
  for (int64_t i = 0; i < width; ++i) found |= std::isnan(row[i]);
  return found;
}

// Of a row with a NaN, or whose largest number is infinite, a softmax is NaN.
bool SoftmaxIsNaN(const float* row, int64_t width) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < width; ++i) largest = row[i] > largest ? row[i] : largest;
  return std::isinf(largest) || HasNaN(row, width);
}

}  // namespace

struct RowPrimitive::Rep {
  RowOp op;
  int64_t rows = 0;
  int64_t scratchpad_bytes = 0;
  std::vector<Call> calls;

  template <typename PrimitiveDesc>
  void Add(const PrimitiveDesc& desc, std::vector<Call::Argument> arguments) {
    arguments.push_back({DNNL_ARG_SCRATCHPAD, Call::kScratchpad, desc.scratchpad_desc()});
    scratchpad_bytes = std::max(scratchpad_bytes, static_cast<int64_t>(desc.scratchpad_desc().get_size()));
    calls.emplace_back(dnnl::primitive(desc), arguments);
  }

  void Make() {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::engine& engine = CpuEngine();
    const memory::desc src = Plain(rows, op.input_width);
    const memory::desc dst = Plain(rows, op.output_width);
    switch (op.kind) {
      case RowOpKind::kDense: {
        const memory::desc weights = Plain(op.input_width, op.output_width);
        const memory::desc bias = Plain(1, op.output_width);
        Add(MakeMatmulDesc(engine, src, weights, bias, dst, attr),
            {{DNNL_ARG_SRC, Call::kSrc, src},
             {DNNL_ARG_WEIGHTS, Call::kFirstConstant, weights},
             {DNNL_ARG_BIAS, Call::kSecondConstant, bias},
             {DNNL_ARG_DST, Call::kDst, dst}});
        return;
      }
      case RowOpKind::kUnary:
        for (const Eltwise& eltwise : EltwiseOf(op)) {
          const Call::Array from = calls.empty() ? Call::kSrc : Call::kDst;
          Add(MakeEltwiseDesc(engine, eltwise.function, src, eltwise.alpha, eltwise.beta, attr),
              {{DNNL_ARG_SRC, from, src}, {DNNL_ARG_DST, Call::kDst, dst}});
        }
        return;
      case RowOpKind::kBinary:
      case RowOpKind::kConstant:
        MakeBinary(attr);
        return;
      case RowOpKind::kLayerNorm:
        Add(MakeLayerNormDesc(engine, src, op.epsilon, attr),
            {{DNNL_ARG_SRC, Call::kSrc, src},
             {DNNL_ARG_SCALE, Call::kFirstConstant, Line(op.input_width)},
             {DNNL_ARG_SHIFT, Call::kSecondConstant, Line(op.input_width)},
             {DNNL_ARG_DST, Call::kDst, dst}});
        return;
      case RowOpKind::kSoftmax:
        Add(MakeSoftmaxDesc(engine, src, attr),
            {{DNNL_ARG_SRC, Call::kSrc, src}, {DNNL_ARG_DST, Call::kDst, dst}});
        return;
      case RowOpKind::kLogSoftmax:
        Add(MakeEltwiseDesc(engine, algorithm::eltwise_exp, src, 0, 0, attr),
            {{DNNL_ARG_SRC, Call::kDst, src}, {DNNL_ARG_DST, Call::kDst, dst}});
        return;
      case RowOpKind::kReduce:
        Add(MakeReductionDesc(engine, AlgorithmOf(op.reduce), src, dst, attr),
            {{DNNL_ARG_SRC, Call::kSrc, src}, {DNNL_ARG_DST, Call::kDst, dst}});
        return;
    }
  }

  void MakeBinary(const dnnl::primitive_attr& attr) {
    const memory::desc row = Plain(rows, op.input_width);
    const memory::desc other =
        op.kind == RowOpKind::kConstant && !op.constant_first ? Plain(1, op.input_width) : row;
    const Call::Array operand = op.kind == RowOpKind::kConstant ? Call::kFirstConstant : Call::kSecond;
    const auto [first, second] =
        op.constant_first ? std::pair(operand, Call::kSrc) : std::pair(Call::kSrc, operand);
    Add(MakeBinaryDesc(CpuEngine(), AlgorithmOf(op.binary), row, other, row, attr),
        {{DNNL_ARG_SRC_0, first, row}, {DNNL_ARG_SRC_1, second, other}, {DNNL_ARG_DST, Call::kDst, row}});
  }

  absl::Status RunCalls(const RowArguments& arguments);

  void RunPlain(const RowArguments& arguments) const {
    const bool log = op.unary == UnaryFunction::kLog;
    for (int64_t i = 0; i < rows * op.input_width; ++i)
      arguments.dst[i] = log ? std::log(arguments.src[i]) : std::erf(arguments.src[i]);
  }

  // x - max - log(sum(exp(x - max))): oneDNN's own log softmax takes its own log.
  absl::Status RunLogSoftmax(const RowArguments& arguments) {
    const int64_t width = op.input_width;
    const auto largest = [&](int64_t row) {
      const float* const src = arguments.src + row * width;
      return *std::max_element(src, src + width);
    };
    for (int64_t row = 0; row < rows; ++row) {
      const float most = largest(row);
      for (int64_t i = row * width; i < (row + 1) * width; ++i) arguments.dst[i] = arguments.src[i] - most;
    }
    GRUSERVE_RETURN_IF_ERROR(RunCalls(arguments));
    for (int64_t row = 0; row < rows; ++row) {
      double sum = SoftmaxIsNaN(arguments.src + row * width, width) ? double{kNaN} : 0;
      for (int64_t i = row * width; i < (row + 1) * width; ++i) sum += double{arguments.dst[i]};
      const float most = largest(row);
      const auto log_sum = static_cast<float>(std::log(sum));
      for (int64_t i = row * width; i < (row + 1) * width; ++i)
        arguments.dst[i] = arguments.src[i] - most - log_sum;
    }
    return absl::OkStatus();
  }

  // Puts back what oneDNN's vector code loses of a NaN or an infinity.
  void KeepNonFinite(const RowArguments& arguments) const {
    const bool extreme = op.binary == BinaryFunction::kMin || op.binary == BinaryFunction::kMax;
    switch (op.kind) {
      case RowOpKind::kUnary:
        KeepNaNs(arguments.src, rows * op.input_width, arguments.dst);
        return;
      case RowOpKind::kBinary:
        if (extreme) KeepNaNs(arguments.second, rows * op.input_width, arguments.dst);
        [[fallthrough]];
      case RowOpKind::kConstant:
        if (extreme) KeepNaNs(arguments.src, rows * op.input_width, arguments.dst);
        return;
      case RowOpKind::kSoftmax:
      case RowOpKind::kReduce:
        for (int64_t row = 0; row < rows; ++row) {
          const float* const src = arguments.src + row * op.input_width;
          const bool is_nan =
              op.kind == RowOpKind::kReduce ? HasNaN(src, op.input_width) : SoftmaxIsNaN(src, op.input_width);
          if (is_nan) std::fill_n(arguments.dst + row * op.output_width, op.output_width, kNaN);
        }
        return;
      case RowOpKind::kDense:
      case RowOpKind::kLayerNorm:
      case RowOpKind::kLogSoftmax:
        return;
    }
  }
};

RowPrimitive::RowPrimitive(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
RowPrimitive::RowPrimitive(RowPrimitive&&) noexcept = default;
RowPrimitive& RowPrimitive::operator=(RowPrimitive&&) noexcept = default;
RowPrimitive::~RowPrimitive() = default;

absl::StatusOr<RowPrimitive> RowPrimitive::Create(const RowOp& op, int64_t rows) {
  std::unique_ptr<Rep> rep;
  GRUSERVE_RETURN_IF_ERROR(
      CatchDnnlError(absl::StrCat("cannot make a primitive of kind ", static_cast<int>(op.kind), ", widths ",
                                  op.input_width, " and ", op.output_width, ", ", rows, " rows"),
                     [&] {
                       rep = std::make_unique<Rep>();
                       rep->op = op;
                       rep->rows = rows;
                       rep->Make();
                     }));
  return RowPrimitive(std::move(rep));
}

int64_t RowPrimitive::rows() const { return rep_->rows; }

int64_t RowPrimitive::scratchpad_bytes() const { return rep_->scratchpad_bytes; }

absl::Status RowPrimitive::Run(const RowArguments& arguments) {
  if (rep_->calls.empty()) {
    rep_->RunPlain(arguments);
    return absl::OkStatus();
  }
  if (rep_->op.kind == RowOpKind::kLogSoftmax) return rep_->RunLogSoftmax(arguments);
  return rep_->RunCalls(arguments);
}

absl::Status RowPrimitive::Rep::RunCalls(const RowArguments& arguments) {
  // oneDNN's memory takes a plain void*, also for what it only reads.
  const auto readable = [](const float* data) { return const_cast<float*>(data); };
  const RowConstants* const constants = arguments.constants;
  const std::array<void*, Call::kArrays> arrays = {
      readable(arguments.src),
      readable(arguments.second),
      constants == nullptr ? nullptr : readable(constants->first.data()),
      constants == nullptr ? nullptr : readable(constants->second.data()),
      arguments.dst,
      arguments.scratchpad};
  for (Call& call : calls) GRUSERVE_RETURN_IF_ERROR(call.Execute(arrays));
  KeepNonFinite(arguments);
  return absl::OkStatus();
}

}  // namespace gruserve

#include "core/engine/row_primitive.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/engine/omp_threads.h"
#include "core/engine/row_batches.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// A call of one op with its own arrays, each filled with a wave.
struct RowCall {
  RowCall(const RowOp& row_op, int64_t row_count) : op(row_op), rows(row_count) {
    const auto wave = [](int64_t size, double shift) {
      AlignedBuffer buffer(size);
      for (int64_t i = 0; i < size; ++i)
        buffer.data()[i] = static_cast<float>(2.5 * std::sin(0.7 * static_cast<double>(i) + shift));
      return buffer;
    };
    src = wave(rows * op.input_width, 0.1);
    second = wave(rows * op.input_width, 0.5);
    const int64_t first = op.kind == RowOpKind::kDense ? op.input_width * op.output_width
                          : op.constant_first          ? RowOp::kMaxRows * op.input_width
                                                       : op.input_width;
    constants = {.first = wave(first, 0.9), .second = wave(op.output_width, 1.3)};
    for (int64_t i = op.input_width; op.constant_first && i < first; ++i)
      constants.first.data()[i] = constants.first.data()[i % op.input_width];
  }

  const std::vector<float>& Run() {
    const SingleOmpThread single_thread;
    RowPrimitive primitive = RowPrimitive::Create(op, rows).value();
    Scratchpad scratchpad(primitive.scratchpad_bytes());
    AlignedBuffer buffer(rows * op.output_width);
    EXPECT_TRUE(primitive
                    .Run({.constants = &constants,
                          .src = src.data(),
                          .second = second.data(),
                          .dst = buffer.data(),
                          .scratchpad = scratchpad.data()})
                    .ok());
    dst.assign(buffer.span().begin(), buffer.span().end());
    return dst;
  }

  double x(int64_t i) const { return double{src.data()[i]}; }

  RowOp op;
  int64_t rows;
  AlignedBuffer src;
  AlignedBuffer second;
  RowConstants constants;
  std::vector<float> dst;
};

struct Function {
  const char* name;
  UnaryFunction function;
  float alpha;
  float beta;
  double (*expected)(double x);
};

class UnaryTest : public testing::TestWithParam<Function> {};

TEST_P(UnaryTest, AgreesWithItsFormula) {
  const Function& unary = GetParam();
  RowCall call({.kind = RowOpKind::kUnary,
                .input_width = 13,
                .output_width = 13,
                .unary = unary.function,
                .alpha = unary.alpha,
                .beta = unary.beta},
               7);
  const std::vector<float>& dst = call.Run();
  for (size_t i = 0; i < dst.size(); ++i) {
    const double expected = unary.expected(call.x(static_cast<int64_t>(i)));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(dst[i])) << "at " << call.src.data()[i];
    } else {
      EXPECT_NEAR(dst[i], expected, 1e-6 * std::max(1.0, std::abs(expected))) << "at " << call.src.data()[i];
    }
  }
}

TEST_P(UnaryTest, KeepsANaN) {
  RowCall call({.kind = RowOpKind::kUnary,
                .input_width = 19,
                .output_width = 19,
                .unary = GetParam().function,
                .alpha = GetParam().alpha,
                .beta = GetParam().beta},
               3);
  const std::vector<float> before = call.Run();
  call.src.data()[20] = kNaN;
  const std::vector<float>& after = call.Run();
  EXPECT_TRUE(std::isnan(after[20]));
  for (size_t i = 0; i < after.size(); ++i) {
    if (i == 20 || std::isnan(before[i])) continue;
    EXPECT_EQ(after[i], before[i]) << i;
  }
}

double Erf(double x) { return std::erf(x); }

INSTANTIATE_TEST_SUITE_P(
    Functions, UnaryTest,
    testing::Values(
        Function{"Abs", UnaryFunction::kAbs, 0, 0, [](double x) { return std::abs(x); }},
        Function{"Clip", UnaryFunction::kClip, -1, 2,
                 [](double x) { return std::fmin(std::fmax(x, -1), 2); }},
        Function{"Elu", UnaryFunction::kElu, 0.75F, 0,
                 [](double x) { return x > 0 ? x : 0.75 * std::expm1(x); }},
        Function{"Erf", UnaryFunction::kErf, 0, 0, Erf},
        Function{"Exp", UnaryFunction::kExp, 0, 0, [](double x) { return std::exp(x); }},
        Function{"GeluErf", UnaryFunction::kGeluErf, 0, 0,
                 [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }},
        Function{"GeluTanh", UnaryFunction::kGeluTanh, 0, 0,
                 [](double x) {
                   return x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
                 }},
        Function{"HardSigmoid", UnaryFunction::kHardSigmoid, 0.25F, 0.5F,
                 [](double x) { return std::fmin(std::fmax(0.25 * x + 0.5, 0), 1); }},
        Function{"LeakyRelu", UnaryFunction::kLeakyRelu, 0.125F, 0,
                 [](double x) { return x > 0 ? x : 0.125 * x; }},
        Function{"Relu", UnaryFunction::kLeakyRelu, 0, 0, [](double x) { return x > 0 ? x : 0; }},
        Function{"Linear", UnaryFunction::kLinear, 3, -1, [](double x) { return 3 * x - 1; }},
        Function{"Log", UnaryFunction::kLog, 0, 0, [](double x) { return std::log(x); }},
        Function{"Pow", UnaryFunction::kPow, 2, 3, [](double x) { return 2 * x * x * x; }},
        Function{"Sigmoid", UnaryFunction::kSigmoid, 0, 0, [](double x) { return 1 / (1 + std::exp(-x)); }},
        Function{"Softplus", UnaryFunction::kSoftplus, 0, 0,
                 [](double x) { return std::log1p(std::exp(x)); }},
        Function{"Sqrt", UnaryFunction::kSqrt, 0, 0, [](double x) { return std::sqrt(x); }},
        Function{"Square", UnaryFunction::kSquare, 0, 0, [](double x) { return x * x; }},
        Function{"Swish", UnaryFunction::kSwish, 1, 0, [](double x) { return x / (1 + std::exp(-x)); }},
        Function{"Tanh", UnaryFunction::kTanh, 0, 0, [](double x) { return std::tanh(x); }}),
    [](const auto& test) { return test.param.name; });

TEST(RowPrimitiveTest, DenseIsAProductAndABias) {
  for (const int64_t rows : {1, 2, 16, 64}) {
    RowCall call({.kind = RowOpKind::kDense, .input_width = 37, .output_width = 21}, rows);
    const std::vector<float>& dst = call.Run();
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < 21; ++column) {
        double sum = double{call.constants.second.data()[column]};
        for (int64_t i = 0; i < 37; ++i)
          sum += call.x(row * 37 + i) * double{call.constants.first.data()[i * 21 + column]};
        EXPECT_NEAR(dst[static_cast<size_t>(row * 21 + column)], sum, 4e-5);
      }
    }
  }
}

TEST(RowPrimitiveTest, BinaryTakesTwoRowsOrAConstant) {
  const auto apply = [](BinaryFunction function, float a, float b) {
    switch (function) {
      case BinaryFunction::kAdd:
        return a + b;
      case BinaryFunction::kSub:
        return a - b;
      case BinaryFunction::kMul:
        return a * b;
      case BinaryFunction::kDiv:
        return a / b;
      case BinaryFunction::kMin:
        return std::fmin(a, b);
      default:
        return std::fmax(a, b);
    }
  };
  for (const BinaryFunction function : {BinaryFunction::kAdd, BinaryFunction::kSub, BinaryFunction::kMul,
                                        BinaryFunction::kDiv, BinaryFunction::kMin, BinaryFunction::kMax}) {
    for (const int form : {0, 1, 2}) {
      RowCall call({.kind = form == 0 ? RowOpKind::kBinary : RowOpKind::kConstant,
                    .input_width = 9,
                    .output_width = 9,
                    .binary = function,
                    .constant_first = form == 2},
                   5);
      const std::vector<float>& dst = call.Run();
      for (size_t i = 0; i < dst.size(); ++i) {
        const float x = call.src.data()[i];
        const float other = form == 0 ? call.second.data()[i] : call.constants.first.data()[i % 9];
        const float expected = form == 2 ? apply(function, other, x) : apply(function, x, other);
        EXPECT_FLOAT_EQ(dst[i], expected) << static_cast<int>(function) << " form " << form;
      }
    }
  }
}

TEST(RowPrimitiveTest, LayerNormUsesTheBiasedVariance) {
  RowCall call({.kind = RowOpKind::kLayerNorm, .input_width = 24, .output_width = 24, .epsilon = 1e-5F}, 6);
  const std::vector<float>& dst = call.Run();
  for (int64_t row = 0; row < 6; ++row) {
    double mean = 0;
    double variance = 0;
    for (int64_t i = 0; i < 24; ++i) mean += call.x(row * 24 + i) / 24;
    for (int64_t i = 0; i < 24; ++i) variance += std::pow(call.x(row * 24 + i) - mean, 2) / 24;
    for (int64_t i = 0; i < 24; ++i) {
      const double expected = (call.x(row * 24 + i) - mean) / std::sqrt(variance + 1e-5) *
                                  double{call.constants.first.data()[i]} +
                              double{call.constants.second.data()[i]};
      EXPECT_NEAR(dst[static_cast<size_t>(row * 24 + i)], expected, 2e-6);
    }
  }
}

TEST(RowPrimitiveTest, SoftmaxAndItsLogAddUpToOne) {
  for (const RowOpKind kind : {RowOpKind::kSoftmax, RowOpKind::kLogSoftmax}) {
    RowCall call({.kind = kind, .input_width = 11, .output_width = 11}, 4);
    const std::vector<float>& dst = call.Run();
    for (int64_t row = 0; row < 4; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < 11; ++i) sum += std::exp(call.x(row * 11 + i));
      for (int64_t i = 0; i < 11; ++i) {
        const double expected = call.x(row * 11 + i) - std::log(sum);
        EXPECT_NEAR(dst[static_cast<size_t>(row * 11 + i)],
                    kind == RowOpKind::kSoftmax ? std::exp(expected) : expected, 2e-6);
      }
    }
  }
}

TEST(RowPrimitiveTest, ReduceGivesOneNumberARow) {
  const auto run = [](ReduceFunction function) {
    RowCall call({.kind = RowOpKind::kReduce, .input_width = 5, .output_width = 1, .reduce = function}, 2);
    const float numbers[] = {1, 2, -3, 4, 6, 0, 0, 0, 0, 5};
    std::copy(std::begin(numbers), std::end(numbers), call.src.data());
    return call.Run();
  };
  EXPECT_EQ(run(ReduceFunction::kMean), (std::vector<float>{2, 1}));
  EXPECT_EQ(run(ReduceFunction::kSum), (std::vector<float>{10, 5}));
  EXPECT_EQ(run(ReduceFunction::kMax), (std::vector<float>{6, 5}));
  EXPECT_EQ(run(ReduceFunction::kMin), (std::vector<float>{-3, 0}));
}

TEST(RowPrimitiveTest, NonFiniteNumbersStayInTheirRowAsInPyTorch) {
  const RowOp ops[] = {
      {.kind = RowOpKind::kDense, .input_width = 17, .output_width = 17},
      {.kind = RowOpKind::kBinary, .input_width = 17, .output_width = 17, .binary = BinaryFunction::kMax},
      {.kind = RowOpKind::kConstant, .input_width = 17, .output_width = 17, .binary = BinaryFunction::kMin},
      {.kind = RowOpKind::kLayerNorm, .input_width = 17, .output_width = 17, .epsilon = 1e-5F},
      {.kind = RowOpKind::kSoftmax, .input_width = 17, .output_width = 17},
      {.kind = RowOpKind::kLogSoftmax, .input_width = 17, .output_width = 17},
      {.kind = RowOpKind::kReduce, .input_width = 17, .output_width = 1, .reduce = ReduceFunction::kMax}};
  for (const RowOp& op : ops) {
    RowCall call(op, 3);
    const std::vector<float> before = call.Run();
    call.src.data()[17 + 3] = kNaN;
    const std::vector<float>& after = call.Run();
    bool any = false;
    for (int64_t i = 0; i < static_cast<int64_t>(after.size()); ++i) {
      const auto at = static_cast<size_t>(i);
      if (i / op.output_width == 1) {
        any = any || std::isnan(after[at]);
      } else {
        EXPECT_EQ(after[at], before[at]) << static_cast<int>(op.kind);
      }
    }
    EXPECT_TRUE(any) << static_cast<int>(op.kind);
  }
}

TEST(RowPrimitiveTest, SoftmaxOfAnInfinityIsNaN) {
  RowCall call({.kind = RowOpKind::kSoftmax, .input_width = 8, .output_width = 8}, 2);
  call.src.data()[2] = kInf;
  call.src.data()[9] = -kInf;
  const std::vector<float>& dst = call.Run();
  EXPECT_TRUE(std::isnan(dst[0]));
  EXPECT_EQ(dst[9], 0.0F);
  EXPECT_GT(dst[10], 0.0F);
}

TEST(RowBatchesTest, GivesARowTheSameBits) {
  const RowOp ops[] = {
      {.kind = RowOpKind::kDense, .input_width = 3, .output_width = 1},
      {.kind = RowOpKind::kDense, .input_width = 100, .output_width = 300},
      {.kind = RowOpKind::kUnary, .input_width = 5, .output_width = 5, .unary = UnaryFunction::kTanh},
      {.kind = RowOpKind::kLayerNorm, .input_width = 33, .output_width = 33, .epsilon = 1e-5F},
      {.kind = RowOpKind::kLogSoftmax, .input_width = 10, .output_width = 10}};
  for (const RowOp& op : ops) {
    const auto batches = ChooseRowBatches(op);
    ASSERT_TRUE(batches.ok()) << batches.status();
    ASSERT_FALSE((*batches)->empty());
    EXPECT_EQ(*ChooseRowBatches(op), *batches);
    const std::vector<float> all = RowCall(op, (*batches)->back()).Run();
    for (const int64_t rows : **batches) {
      const std::vector<float> some = RowCall(op, rows).Run();
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << rows << " rows";
    }
    std::string kept;
    for (const int64_t rows : **batches) kept += " " + std::to_string(rows);
    RecordProperty("batches_" + std::to_string(static_cast<int>(op.kind)), kept);
    std::printf("kind %d: batches%s\n", static_cast<int>(op.kind), kept.c_str());
  }
}

}  // namespace
}  // namespace gruserve

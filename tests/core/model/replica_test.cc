#include "core/model/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

using ::testing::HasSubstr;

double LargestError(const std::vector<float>& got, const std::vector<double>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double largest = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(double{got[i]} - wanted[i]);
    largest = std::isnan(error) ? error : std::max(largest, error);
  }
  return largest;
}

struct Shape {
  int64_t input_size;
  int64_t hidden_size;
  int64_t num_layers = 1;
  int64_t num_directions = 1;
  CellKind cell_kind = CellKind::kLinearBeforeReset;
  bool bias = true;

  GruConfig config() const {
    return {.cell_kind = cell_kind,
            .module_kind = ModuleKind::kGru,
            .input_size = input_size,
            .hidden_size = hidden_size,
            .num_layers = num_layers,
            .num_directions = num_directions,
            .bias = bias};
  }
};

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  const Shape& shape = info.param;
  return "I" + std::to_string(shape.input_size) + "H" + std::to_string(shape.hidden_size) + "L" +
         std::to_string(shape.num_layers) + (shape.num_directions == 2 ? "Bidirectional" : "") +
         (shape.cell_kind == CellKind::kResetBefore ? "ResetBefore" : "") + (shape.bias ? "" : "NoBias");
}

constexpr Shape kShapes[] = {{1, 1},
                             {3, 5},
                             {5, 3, 2},
                             {17, 17, 3},
                             {1, 64},
                             {64, 64, 4},
                             {128, 1, 2},
                             {10, 128, 2},
                             {257, 257},
                             {3, 512},
                             {5, 10, 1, 1, CellKind::kLinearBeforeReset, false},
                             {1, 1, 1, 2},
                             {3, 5, 2, 2},
                             {17, 64, 3, 2},
                             {64, 17, 4, 2},
                             {5, 128, 2, 2, CellKind::kLinearBeforeReset, false},
                             {3, 5, 1, 1, CellKind::kResetBefore},
                             {17, 64, 3, 1, CellKind::kResetBefore},
                             {64, 128, 2, 2, CellKind::kResetBefore},
                             {5, 17, 2, 1, CellKind::kResetBefore, false},
                             {3, 257, 1, 1, CellKind::kResetBefore}};

class ReplicaNumbersTest : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    model_ = RandomModel(kSeed, config_);
    replica_ = Replica::Create(model_).value();
  }

  void Run(SequenceArrays& call) { ASSERT_TRUE(replica_->RunSequence(call.call()).ok()); }

  static constexpr uint32_t kSeed = 20240611;
  const GruConfig config_ = GetParam().config();
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Replica> replica_;
};

// f32 rounds at 6e-8; sums of a few hundred products and up to 60 steps lie
// within a few of these.
constexpr double kTolerance = 2e-6;

TEST_P(ReplicaNumbersTest, SequenceIsTheReference) {
  for (const auto& [steps, batch] : {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {19, 1}, {60, 5}}) {
    SequenceArrays call(config_, steps, batch, 7);
    Run(call);
    const ReferenceResult wanted =
        ReferenceGru(RandomGru(kSeed, config_), steps, batch, call.input, call.Ldnc(call.h_0));
    EXPECT_LE(LargestError(call.output, wanted.output), kTolerance);
    EXPECT_LE(LargestError(call.Ldnc(call.states), wanted.h_n), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ReplicaNumbersTest, ::testing::ValuesIn(kShapes), ShapeName);

TEST(ReplicaErrorsTest, BidirectionalModelsCannotStep) {
  const GruConfig config{.input_size = 2, .hidden_size = 3, .num_directions = 2};
  const std::unique_ptr<Replica> replica = Replica::Create(RandomModel(1, config)).value();
  EXPECT_EQ(replica->RunSteps({}).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(ReplicaErrorsTest, TooMuchBetweenLayersIsResourceExhausted) {
  const GruConfig config{.input_size = 1, .hidden_size = 64, .num_layers = 3, .num_directions = 2};
  const std::unique_ptr<Replica> replica = Replica::Create(RandomModel(1, config)).value();
  SequenceArrays arrays(config, 1, 1, 1);
  SequenceCall call = arrays.call();
  call.time_steps = int64_t{1} << 30;
  const absl::Status status = replica->RunSequence(call);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("time_steps 1073741824, batch_size 1 keeps 1099511627776 bytes between the layers, the "
                "limit is 1073741824"));
}

TEST(ReplicaTest, NothingToDoIsDone) {
  const GruConfig config{.input_size = 2, .hidden_size = 3};
  const std::unique_ptr<Replica> replica = Replica::Create(RandomModel(1, config)).value();
  EXPECT_TRUE(replica->RunSteps({}).ok());
  SequenceArrays no_rows(config, 5, 0, 1);
  EXPECT_TRUE(replica->RunSequence(no_rows.call()).ok());
  SequenceArrays no_steps(config, 0, 2, 1);
  EXPECT_TRUE(replica->RunSequence(no_steps.call()).ok());
}

}  // namespace
}  // namespace gruserve

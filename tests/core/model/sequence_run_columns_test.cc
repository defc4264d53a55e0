// A call whose slices two workers share by columns has the same bits, whoever comes
// late, is held up, or is still at it when the call has ended.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/model/replica.h"
#include "core/model/sequence_run.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

struct Shape {
  int64_t input_size;
  int64_t hidden_size;
  int64_t time_steps;
  std::vector<int64_t> lengths;
  ComputeDtype dtype = ComputeDtype::kF32;
  int64_t layers = 1;
};

// Many slices because of the call's length, or of its ragged rows.
const Shape kShapes[] = {{24, 192, 4500, {4500}},
                         {200, 512, 61, {13, 61, 1}},
                         {200, 512, 40, {40, 2, 40, 17}},
                         {200, 512, 61, {13, 61, 1}, ComputeDtype::kBf16},
                         {200, 768, 45, {45, 20}, ComputeDtype::kF32, 3},
                         {768, 768, 45, {45, 20}, ComputeDtype::kBf16, 2}};

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  return "H" + std::to_string(info.param.hidden_size) + "T" + std::to_string(info.param.time_steps) + "B" +
         std::to_string(info.param.lengths.size()) + "L" + std::to_string(info.param.layers) +
         Name(info.param.dtype);
}

class SequenceRunColumnsTest : public ::testing::TestWithParam<Shape> {
 protected:
  SequenceArrays Arrays() {
    SequenceArrays arrays(config_, GetParam().time_steps, static_cast<int64_t>(GetParam().lengths.size()), 3);
    arrays.lengths = GetParam().lengths;
    return arrays;
  }

  // One worker's turn at a slice of columns.
  struct Turn {
    SequenceSlice slice;
    bool joined = false;
  };

  // Lets a worker have a few steps; says whether its turn is over.
  bool Crank(SequenceRun& run, Turn& turn, std::mt19937& random) {
    ColumnSlice& columns = *turn.slice.columns;
    const int part = turn.slice.part;
    if (!turn.joined) {
      if (turn.slice.opens) run.Open(turn.slice);
      turn.joined = columns.Join(part);
      return !turn.joined;
    }
    int64_t steps = static_cast<int64_t>(random() % 2 == 0 ? random() % 4 : random() % 400);
    while (steps-- > 0) {
      if (columns.Advance(part)) continue;
      if (columns.Win(part)) run.Finish(turn.slice, run.Close(turn.slice));
      return true;
    }
    return false;
  }

  void SetUp() override {
    if (const absl::Status has = CheckProcessorHas(config_.compute_dtype); !has.ok()) GTEST_SKIP() << has;
    model_ = RandomModel(2, config_);
    replica_ = Replica::Create(model_).value();
  }

  const GruConfig config_{.input_size = GetParam().input_size,
                          .hidden_size = GetParam().hidden_size,
                          .num_layers = GetParam().layers,
                          .compute_dtype = GetParam().dtype};
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Replica> replica_;
};

TEST_P(SequenceRunColumnsTest, AnyMixOfWorkersGivesTheSameBits) {
  if (!model_->has_columns()) return;  // Other bits here: such a library has no such slices.
  SequenceArrays expected = Arrays();
  ASSERT_TRUE(replica_->RunSequence(expected.call()).ok());
  std::mt19937 random(8);
  int slices_shared = 0;
  for (int round = 0; round < 8; ++round) {
    SequenceArrays arrays = Arrays();
    auto run = std::make_unique<SequenceRun>(model_, arrays.call(), 2);
    ASSERT_TRUE(run->has_columns());
    std::vector<Turn> turns;
    while (!run->done()) {
      if (run->helpable() && random() % 4 != 0) {
        turns.push_back({run->Help()});
        ++slices_shared;
      } else if (run->claimable() && random() % 16 == 0) {
        // As when columns have not helped lately.
        const SequenceSlice slice = run->Claim().value();
        ASSERT_EQ(slice.columns, nullptr);
        run->Finish(slice, run->Run(slice, *replica_));
      } else if (run->claimable()) {
        const SequenceSlice slice = run->Claim(static_cast<int>(random() % 2)).value();
        if (slice.columns == nullptr) {  // Late workers have all the room.
          run->Finish(slice, run->Run(slice, *replica_));
        } else {
          turns.push_back({slice});
        }
      } else {
        const size_t at = random() % turns.size();
        if (Crank(*run, turns[at], random)) turns.erase(turns.begin() + static_cast<ptrdiff_t>(at));
      }
    }
    ASSERT_TRUE(run->status().ok()) << run->status();
    EXPECT_TRUE(SameBits(arrays.output, expected.output)) << round;
    EXPECT_TRUE(SameBits(arrays.states, expected.states)) << round;
    run.reset();
    // Who is still at it has lost, and finds nothing of the call.
    for (Turn& turn : turns) {
      if (!turn.joined) turn.slice.columns->Join(turn.slice.part);
      EXPECT_FALSE(turn.slice.columns->Advance(turn.slice.part));
      EXPECT_FALSE(turn.slice.columns->Win(turn.slice.part));
    }
  }
  EXPECT_GT(slices_shared, 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SequenceRunColumnsTest, ::testing::ValuesIn(kShapes), ShapeName);

}  // namespace
}  // namespace gruserve

// A row's bits depend on its own numbers alone: not on the cuts of its sequence,
// its neighbours, its place among them, nor the layout of the call.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
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
  int64_t num_layers = 1;
  int64_t num_directions = 1;
  CellKind cell_kind = CellKind::kLinearBeforeReset;
  ComputeDtype compute_dtype = ComputeDtype::kF32;
};

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  const Shape& shape = info.param;
  return "I" + std::to_string(shape.input_size) + "H" + std::to_string(shape.hidden_size) + "L" +
         std::to_string(shape.num_layers) + (shape.num_directions == 2 ? "Bidirectional" : "") +
         (shape.cell_kind == CellKind::kResetBefore ? "ResetBefore" : "") +
         (shape.compute_dtype == ComputeDtype::kBf16 ? "Bf16" : "");
}

constexpr CellKind kResetBefore = CellKind::kResetBefore;

constexpr Shape kSteppable[] = {{1, 1},
                                {128, 1, 2},
                                {3, 5, 2},
                                {17, 17, 3},
                                {64, 64, 4},
                                {10, 128, 2},
                                {257, 64, 2},
                                {512, 512, 2},
                                {3, 1, 1, 1, kResetBefore},
                                {3, 5, 1, 1, kResetBefore},
                                {17, 64, 3, 1, kResetBefore},
                                {64, 257, 1, 1, kResetBefore}};

constexpr Shape kBidirectional[] = {
    {1, 1, 1, 2}, {3, 5, 2, 2}, {17, 64, 3, 2}, {8, 512, 1, 2}, {64, 128, 2, 2, kResetBefore}};

// And the same in bf16, where the processor has it; where not, tests/core/model/
// model_test.cc sees it refused.
std::vector<Shape> InEveryDtype(std::span<const Shape> shapes) {
  std::vector<Shape> all(shapes.begin(), shapes.end());
  if (!CheckProcessorHas(ComputeDtype::kBf16).ok()) return all;
  for (Shape shape : shapes) {
    shape.compute_dtype = ComputeDtype::kBf16;
    all.push_back(shape);
  }
  return all;
}

class BitsTest : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    model_ = RandomModel(11, config_);
    replica_ = Replica::Create(model_).value();
  }

  void Run(SequenceArrays& arrays) { ASSERT_TRUE(replica_->RunSequence(arrays.call()).ok()); }

  // Row `b` of `arrays` as a call of its own, cut to its length.
  SequenceArrays Alone(const SequenceArrays& arrays, int64_t b) const {
    const int64_t length =
        arrays.lengths.empty() ? arrays.time_steps : arrays.lengths[static_cast<size_t>(b)];
    SequenceArrays alone(config_, length, 1, 0);
    for (int64_t t = 0; t < length; ++t) {
      std::copy_n(arrays.input.data() + (t * arrays.batch_size + b) * config_.input_size, config_.input_size,
                  alone.input.data() + t * config_.input_size);
    }
    std::copy_n(arrays.h_0.data() + b * config_.state_size(), config_.state_size(), alone.h_0.data());
    alone.Reset();
    return alone;
  }

  void ExpectRowIs(const SequenceArrays& arrays, int64_t b, const SequenceArrays& alone) const {
    EXPECT_TRUE(SameBits(arrays.rows[static_cast<size_t>(b)], alone.states.data(), config_.state_size()))
        << "state of row " << b;
    for (int64_t t = 0; t < alone.time_steps; ++t) {
      ASSERT_TRUE(SameBits(arrays.OutputAt(t, b), alone.OutputAt(t, 0), config_.output_size()))
          << "row " << b << " time " << t;
    }
  }

  const GruConfig config_{.cell_kind = GetParam().cell_kind,
                          .module_kind = ModuleKind::kGru,
                          .input_size = GetParam().input_size,
                          .hidden_size = GetParam().hidden_size,
                          .num_layers = GetParam().num_layers,
                          .num_directions = GetParam().num_directions,
                          .bias = true,
                          .compute_dtype = GetParam().compute_dtype};
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Replica> replica_;
  std::mt19937 random_{5};
};

TEST_P(BitsTest, RaggedBatchIsRowByRow) {
  SequenceArrays ragged(config_, 40, 70, 1);
  std::uniform_int_distribution<int64_t> length(1, 40);
  for (int64_t b = 0; b < 70; ++b) ragged.lengths.push_back(b % 7 == 0 ? 40 : length(random_));
  Run(ragged);
  for (int64_t b = 0; b < 70; ++b) {
    SequenceArrays alone = Alone(ragged, b);
    Run(alone);
    ExpectRowIs(ragged, b, alone);
    for (int64_t t = alone.time_steps; t < 40; ++t) {
      const float* const row = ragged.OutputAt(t, b);
      ASSERT_EQ(std::count(row, row + config_.output_size(), 0.0F), config_.output_size()) << b << " " << t;
    }
  }
}

TEST_P(BitsTest, BatchFirstIsTimeMajor) {
  SequenceArrays time_major(config_, 9, 5, 2);
  Run(time_major);
  SequenceArrays batch_first(config_, 9, 5, 2);
  for (int64_t t = 0; t < 9; ++t) {
    for (int64_t b = 0; b < 5; ++b) {
      std::copy_n(time_major.input.data() + (t * 5 + b) * config_.input_size, config_.input_size,
                  batch_first.input.data() + (b * 9 + t) * config_.input_size);
    }
  }
  SequenceCall call = batch_first.call();
  call.input_time_stride = config_.input_size;
  call.input_batch_stride = 9 * config_.input_size;
  call.output_time_stride = config_.output_size();
  call.output_batch_stride = 9 * config_.output_size();
  ASSERT_TRUE(replica_->RunSequence(call).ok());
  EXPECT_TRUE(SameBits(time_major.states, batch_first.states));
  for (int64_t t = 0; t < 9; ++t) {
    for (int64_t b = 0; b < 5; ++b) {
      EXPECT_TRUE(SameBits(time_major.OutputAt(t, b),
                           batch_first.output.data() + (b * 9 + t) * config_.output_size(),
                           config_.output_size()));
    }
  }
}

TEST_P(BitsTest, LastOutputIsEachRowsOwn) {
  SequenceArrays whole(config_, 12, 4, 3);
  whole.lengths = {12, 1, 7, 12};
  Run(whole);
  SequenceArrays last(config_, 12, 4, 3);
  last.lengths = whole.lengths;
  SequenceCall call = last.call();
  call.last_output_only = true;
  ASSERT_TRUE(replica_->RunSequence(call).ok());
  for (int64_t b = 0; b < 4; ++b) {
    EXPECT_TRUE(SameBits(last.OutputAt(0, b), whole.OutputAt(whole.lengths[static_cast<size_t>(b)] - 1, b),
                         config_.output_size()));
  }
  const size_t written = static_cast<size_t>(4 * config_.output_size());
  EXPECT_TRUE(std::all_of(last.output.begin() + static_cast<ptrdiff_t>(written), last.output.end(),
                          [](float value) { return std::isnan(value); }));
  EXPECT_TRUE(SameBits(last.states, whole.states));
}

TEST_P(BitsTest, RowsOfSeveralCallsAreEachAsAlone) {
  SequenceArrays whole(config_, 12, 4, 3), last(config_, 9, 1, 4), mute(config_, 7, 2, 5);
  whole.lengths = {12, 1, 7, 12};
  std::vector<SequenceCall> calls = {whole.call(), last.call(), mute.call()};
  calls[1].last_output_only = true;
  calls[2].output = nullptr;
  std::vector<SequenceRow> rows;
  std::vector<int64_t> lengths;
  std::vector<float*> states;
  for (const SequenceCall& call : calls) {
    for (int64_t row = 0; row < call.batch_size; ++row) {
      rows.push_back(call.row(row));
      lengths.push_back(call.length(row));
      states.push_back(call.states[static_cast<size_t>(row)]);
    }
  }
  ASSERT_TRUE(replica_
                  ->RunSequence(
                      {.time_steps = 12, .batch_size = 7, .lengths = lengths, .states = states, .rows = rows})
                  .ok());
  const std::vector<SequenceArrays> joined = {whole, last, mute};
  for (SequenceArrays* arrays : {&whole, &last, &mute}) {
    arrays->Reset();
    arrays->output.assign(arrays->output.size(), NAN);
  }
  for (const SequenceCall& call : calls) ASSERT_TRUE(replica_->RunSequence(call).ok());
  const SequenceArrays* const alone[] = {&whole, &last, &mute};
  for (size_t i = 0; i < joined.size(); ++i) {
    EXPECT_TRUE(SameBits(joined[i].output, alone[i]->output)) << i;
    EXPECT_TRUE(SameBits(joined[i].states, alone[i]->states)) << i;
  }
}

TEST_P(BitsTest, StatesComeWithoutOutput) {
  SequenceArrays whole(config_, 12, 4, 3);
  Run(whole);
  SequenceArrays mute(config_, 12, 4, 3);
  SequenceCall call = mute.call();
  call.output = nullptr;
  ASSERT_TRUE(replica_->RunSequence(call).ok());
  EXPECT_TRUE(SameBits(mute.states, whole.states));
}

TEST_P(BitsTest, NanStaysInItsRow) {
  SequenceArrays clean(config_, 10, 6, 4);
  Run(clean);
  SequenceArrays dirty(config_, 10, 6, 4);
  dirty.input[static_cast<size_t>((3 * 6 + 2) * config_.input_size)] =
      std::numeric_limits<float>::quiet_NaN();
  dirty.h_0[static_cast<size_t>(5 * config_.state_size())] = std::numeric_limits<float>::infinity();
  dirty.Reset();
  Run(dirty);
  EXPECT_TRUE(std::isnan(dirty.rows[2][0]));
  for (const int64_t b : {0, 1, 3, 4}) {
    EXPECT_TRUE(SameBits(clean.rows[static_cast<size_t>(b)], dirty.rows[static_cast<size_t>(b)],
                         config_.state_size()));
    for (int64_t t = 0; t < 10; ++t) {
      EXPECT_TRUE(SameBits(clean.OutputAt(t, b), dirty.OutputAt(t, b), config_.output_size()));
    }
  }
  // What lay in the replica's buffers is gone.
  SequenceArrays again(config_, 10, 6, 4);
  Run(again);
  EXPECT_TRUE(SameBits(clean.output, again.output));
}

TEST_P(BitsTest, SlicesMayChangeReplicaAndThread) {
  SequenceArrays whole(config_, 50, 3, 6);
  Run(whole);
  SequenceArrays sliced(config_, 50, 3, 6);
  const std::unique_ptr<Replica> other = Replica::Create(model_).value();
  SequenceRun run(model_, sliced.call(), /*parallelism=*/1);
  for (int slice = 0; !run.done(); ++slice) {
    std::thread thread([&] { EXPECT_TRUE(run.Advance(slice % 2 == 0 ? *replica_ : *other).ok()); });
    thread.join();
  }
  EXPECT_TRUE(SameBits(whole.output, sliced.output));
  EXPECT_TRUE(SameBits(whole.states, sliced.states));
}

INSTANTIATE_TEST_SUITE_P(Steppable, BitsTest, ::testing::ValuesIn(InEveryDtype(kSteppable)), ShapeName);
INSTANTIATE_TEST_SUITE_P(Bidirectional, BitsTest, ::testing::ValuesIn(InEveryDtype(kBidirectional)),
                         ShapeName);

class StepBitsTest : public BitsTest {
 protected:
  // Runs `arrays` step by step, all rows together.
  void Step(SequenceArrays& arrays) {
    for (int64_t t = 0; t < arrays.time_steps; ++t) {
      std::vector<StepRow> rows;
      for (int64_t b = 0; b < arrays.batch_size; ++b) {
        const int64_t at = t * arrays.batch_size + b;
        rows.push_back({.input = arrays.input.data() + at * config_.input_size,
                        .state = arrays.rows[static_cast<size_t>(b)],
                        .output = arrays.output.data() + at * config_.output_size()});
      }
      ASSERT_TRUE(replica_->RunSteps(rows).ok());
    }
  }
};

TEST_P(StepBitsTest, StepsAreTheSequence) {
  for (const int64_t batch : {1, 2, 5, 67}) {
    SequenceArrays sequence(config_, 45, batch, 8);
    Run(sequence);
    SequenceArrays steps(config_, 45, batch, 8);
    Step(steps);
    EXPECT_TRUE(SameBits(sequence.output, steps.output)) << batch;
    EXPECT_TRUE(SameBits(sequence.states, steps.states)) << batch;
  }
}

TEST_P(StepBitsTest, ChunksAreTheSequence) {
  SequenceArrays sequence(config_, 150, 3, 9);
  Run(sequence);
  for (int round = 0; round < 4; ++round) {
    SequenceArrays chunked(config_, 150, 3, 9);
    int64_t t = 0;
    while (t < 150) {
      const int64_t steps =
          std::min<int64_t>(150 - t, std::uniform_int_distribution<int64_t>(1, 60)(random_));
      SequenceCall call = chunked.call();
      call.time_steps = steps;
      call.input += t * call.input_time_stride;
      call.output += t * call.output_time_stride;
      ASSERT_TRUE(replica_->RunSequence(call).ok());
      t += steps;
    }
    EXPECT_TRUE(SameBits(sequence.output, chunked.output));
    EXPECT_TRUE(SameBits(sequence.states, chunked.states));
  }
}

TEST_P(StepBitsTest, AloneIsAmongAnyOthers) {
  const int64_t count = 200;
  SequenceArrays alone(config_, 1, count, 10);
  for (int64_t b = 0; b < count; ++b) {
    const StepRow row{.input = alone.input.data() + b * config_.input_size,
                      .state = alone.rows[static_cast<size_t>(b)],
                      .output = alone.output.data() + b * config_.output_size()};
    ASSERT_TRUE(replica_->RunSteps({&row, 1}).ok());
  }
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (const int64_t size : {2, 3, 4, 6, 7, 9, 13, 17, 31, 33, 47, 50, 63, 64, 65, 130, 200}) {
    std::shuffle(order.begin(), order.end(), random_);
    SequenceArrays mixed(config_, 1, count, 10);
    std::vector<StepRow> rows;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t b = order[static_cast<size_t>(i)];
      rows.push_back({.input = mixed.input.data() + b * config_.input_size,
                      .state = mixed.rows[static_cast<size_t>(b)],
                      .output = mixed.output.data() + b * config_.output_size()});
    }
    ASSERT_TRUE(replica_->RunSteps(rows).ok());
    for (int64_t i = 0; i < size; ++i) {
      const int64_t b = order[static_cast<size_t>(i)];
      ASSERT_TRUE(SameBits(mixed.OutputAt(0, b), alone.OutputAt(0, b), config_.output_size()))
          << size << " " << b;
      ASSERT_TRUE(SameBits(mixed.rows[static_cast<size_t>(b)], alone.rows[static_cast<size_t>(b)],
                           config_.state_size()));
    }
  }
}

TEST_P(StepBitsTest, StepsMayRunBetweenSlices) {
  SequenceArrays whole(config_, 30, 2, 12);
  Run(whole);
  SequenceArrays steps(config_, 30, 4, 13);
  Step(steps);
  SequenceArrays sliced(config_, 30, 2, 12);
  SequenceArrays between(config_, 30, 4, 13);
  SequenceRun run(model_, sliced.call(), /*parallelism=*/1);
  bool stepped = false;
  while (!run.done()) {
    ASSERT_TRUE(run.Advance(*replica_).ok());
    if (!stepped) Step(between);
    stepped = true;
  }
  EXPECT_TRUE(SameBits(whole.output, sliced.output));
  EXPECT_TRUE(SameBits(steps.output, between.output));
}

INSTANTIATE_TEST_SUITE_P(Steppable, StepBitsTest, ::testing::ValuesIn(InEveryDtype(kSteppable)), ShapeName);

}  // namespace
}  // namespace gruserve

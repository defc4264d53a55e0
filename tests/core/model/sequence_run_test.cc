// A call's bits depend neither on how it is cut nor on who runs which slice when.

#include "core/model/sequence_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/model/replica.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

constexpr size_t kWorkers = 4;

struct Shape {
  int64_t input_size;
  int64_t hidden_size;
  int64_t num_layers;
  int64_t num_directions;
  int64_t time_steps;
  int64_t batch_size;
};

constexpr Shape kShared[] = {{64, 64, 1, 1, 90, 16}, {32, 64, 4, 1, 70, 5},  {64, 64, 3, 2, 60, 3},
                             {48, 64, 1, 2, 200, 7}, {40, 96, 2, 1, 50, 40}, {64, 128, 7, 1, 61, 1}};
constexpr Shape kSmall[] = {{16, 32, 2, 2, 40, 150}, {8, 24, 3, 1, 60, 150}, {128, 128, 1, 1, 17, 2}};

std::string ShapeName(const ::testing::TestParamInfo<Shape>& info) {
  const Shape& shape = info.param;
  return "I" + std::to_string(shape.input_size) + "H" + std::to_string(shape.hidden_size) + "L" +
         std::to_string(shape.num_layers) + "D" + std::to_string(shape.num_directions) + "T" +
         std::to_string(shape.time_steps) + "B" + std::to_string(shape.batch_size);
}

class SequenceRunTest : public ::testing::TestWithParam<Shape> {
 protected:
  SequenceRunTest() {
    for (size_t i = 0; i < kWorkers; ++i) replicas_.push_back(Replica::Create(model_).value());
  }

  SequenceArrays Arrays(bool ragged) {
    SequenceArrays arrays(config_, GetParam().time_steps, GetParam().batch_size, 3);
    std::mt19937 random(4);
    std::uniform_int_distribution<int64_t> length(1, arrays.time_steps);
    for (int64_t b = 0; ragged && b < arrays.batch_size; ++b) {
      arrays.lengths.push_back(b % 5 == 0 ? arrays.time_steps : length(random));
    }
    return arrays;
  }

  SequenceArrays Expected(bool ragged) {
    SequenceArrays arrays = Arrays(ragged);
    EXPECT_TRUE(replicas_[0]->RunSequence(arrays.call()).ok());
    return arrays;
  }

  // Cranks a run by hand: claims up to kWorkers slices and runs them in any order.
  void RunInRandomOrder(SequenceRun& run, std::mt19937& random) {
    std::vector<SequenceSlice> claimed;
    while (!run.done()) {
      const bool may_claim = claimed.size() < kWorkers;
      std::optional<SequenceSlice> slice;
      if (may_claim && (claimed.empty() || random() % 2 == 0)) slice = run.Claim();
      if (slice.has_value()) {
        claimed.push_back(*slice);
        continue;
      }
      ASSERT_FALSE(claimed.empty()) << "nobody runs, and nothing is free";
      const size_t at = random() % claimed.size();
      Replica& replica = *replicas_[random() % kWorkers];
      const absl::Status status = run.Run(claimed[at], replica);
      run.Finish(claimed[at], status);
      claimed.erase(claimed.begin() + static_cast<ptrdiff_t>(at));
    }
    EXPECT_TRUE(claimed.empty());
    EXPECT_TRUE(run.status().ok()) << run.status();
  }

  const GruConfig config_{.input_size = GetParam().input_size,
                          .hidden_size = GetParam().hidden_size,
                          .num_layers = GetParam().num_layers,
                          .num_directions = GetParam().num_directions};
  const std::shared_ptr<const Model> model_ = RandomModel(2, config_);
  std::vector<std::unique_ptr<Replica>> replicas_;
};

TEST_P(SequenceRunTest, AnyOrderOfSlicesGivesTheSameBits) {
  std::mt19937 random(6);
  for (const bool ragged : {false, true}) {
    const SequenceArrays expected = Expected(ragged);
    for (int round = 0; round < 12; ++round) {
      SequenceArrays arrays = Arrays(ragged);
      SequenceRun run(model_, arrays.call(), 1 + round % 4);
      RunInRandomOrder(run, random);
      EXPECT_TRUE(SameBits(arrays.output, expected.output)) << "ragged " << ragged << " round " << round;
      EXPECT_TRUE(SameBits(arrays.states, expected.states)) << "ragged " << ragged << " round " << round;
    }
  }
}

// Claims, runs and finishes slices until the run is done.
void Work(SequenceRun* run, Replica* replica, absl::Mutex* mu, absl::CondVar* changed) {
  mu->Lock();
  while (!run->done()) {
    const std::optional<SequenceSlice> slice = run->Claim();
    if (!slice.has_value()) {
      changed->Wait(mu);
      continue;
    }
    mu->Unlock();
    const absl::Status status = run->Run(*slice, *replica);
    mu->Lock();
    run->Finish(*slice, status);
    changed->SignalAll();
  }
  mu->Unlock();
}

TEST_P(SequenceRunTest, ManyThreadsGiveTheSameBits) {
  for (const bool ragged : {false, true}) {
    const SequenceArrays expected = Expected(ragged);
    SequenceArrays arrays = Arrays(ragged);
    SequenceRun run(model_, arrays.call(), kWorkers);
    absl::Mutex mu;
    absl::CondVar changed;
    std::vector<std::thread> threads;
    for (const auto& replica : replicas_) threads.emplace_back(Work, &run, replica.get(), &mu, &changed);
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(run.status().ok());
    EXPECT_TRUE(SameBits(arrays.output, expected.output));
    EXPECT_TRUE(SameBits(arrays.states, expected.states));
  }
}

INSTANTIATE_TEST_SUITE_P(Shared, SequenceRunTest, ::testing::ValuesIn(kShared), ShapeName);
INSTANTIATE_TEST_SUITE_P(Small, SequenceRunTest, ::testing::ValuesIn(kSmall), ShapeName);

class SharedSequenceRunTest : public SequenceRunTest {};

TEST_P(SharedSequenceRunTest, AsManyAsItWasCutForCanWorkAtOnce) {
  SequenceArrays arrays = Arrays(false);
  SequenceRun run(model_, arrays.call(), 2);
  std::vector<SequenceSlice> claimed;
  // A wave has begun after its first slices.
  for (int i = 0; i < 2 * config_.num_layers; ++i) ASSERT_TRUE(run.Advance(*replicas_[0]).ok());
  while (const std::optional<SequenceSlice> slice = run.Claim()) claimed.push_back(*slice);
  EXPECT_GE(claimed.size(), 2U);
  std::set<std::pair<int64_t, int64_t>> tracks;
  for (const SequenceSlice& slice : claimed) {
    tracks.emplace(slice.lane, slice.layer * 2 + slice.direction);
    run.Finish(slice, run.Run(slice, *replicas_[0]));
  }
  EXPECT_EQ(tracks.size(), claimed.size()) << "one slice of a track at a time";
}

INSTANTIATE_TEST_SUITE_P(Shapes, SharedSequenceRunTest, ::testing::ValuesIn(kShared), ShapeName);

class SequenceRunErrorsTest : public ::testing::Test {
 protected:
  const GruConfig config_{.input_size = 64, .hidden_size = 64, .num_directions = 2};
  const std::shared_ptr<const Model> model_ = RandomModel(2, config_);
  const std::unique_ptr<Replica> replica_ = Replica::Create(model_).value();
  SequenceArrays arrays_{config_, 200, 8, 1};
};

TEST_F(SequenceRunErrorsTest, AFailedRunIsDoneWhenItsLastSliceIsBack) {
  SequenceRun run(model_, arrays_.call(), 2);
  const SequenceSlice first = run.Claim().value();
  const SequenceSlice second = run.Claim().value();
  EXPECT_FALSE(run.Claim().has_value());
  run.Finish(first, absl::InternalError("broken"));
  run.Fail(absl::CancelledError("too late to be the reason"));
  EXPECT_FALSE(run.done());
  EXPECT_FALSE(run.claimable());
  run.Finish(second, absl::OkStatus());
  EXPECT_TRUE(run.done());
  EXPECT_EQ(run.status(), absl::InternalError("broken"));
}

TEST_F(SequenceRunErrorsTest, ARunMayFailBeforeItBegins) {
  SequenceRun run(model_, arrays_.call(), 2);
  run.Fail(absl::CancelledError("gone"));
  EXPECT_TRUE(run.done());
  EXPECT_EQ(run.Advance(*replica_), absl::CancelledError("gone"));
}

}  // namespace
}  // namespace gruserve

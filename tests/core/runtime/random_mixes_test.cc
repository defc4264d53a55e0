// Steps and chunks of many sessions, mixed at random, over several models, on several
// workers: each result has the bits that the session has alone.
//
// A mix is one random set of them that is under way at the same time. The suite runs a
// few thousand, of a seed of its own each time, which a failure prints:
//   runtime_tests --gtest_filter='RandomMixes*' --gtest_repeat=500      runs a million

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <latch>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "core/runtime/compute_pool.h"
#include "core/runtime/work_round.h"
#include "tests/support/loaded_models.h"
#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

constexpr int kWorkers = 2;
constexpr int kSessions = 96;
constexpr int64_t kSteps = 24;
constexpr int kSubmitters = 2;
constexpr int kMixesEach = 1000;
constexpr int64_t kMostChunk = 8;

// What sessions of one model give alone, step by step.
class Trajectories {
 public:
  Trajectories(uint32_t seed, const GruConfig& config) : model_(seed, config, kWorkers) {
    std::mt19937 random(seed);
    for (int session = 0; session < kSessions; ++session) {
      Alone alone;
      alone.input = RandomFloats(random, kSteps * config.input_size);
      std::vector<float> state;
      alone.states.emplace_back(static_cast<size_t>(config.state_size()));
      for (int64_t t = 0; t < kSteps; ++t) {
        const auto begin = alone.input.begin() + t * config.input_size;
        const std::vector<float> output = model_.RunAlone(1, {begin, begin + config.input_size}, &state);
        alone.output.insert(alone.output.end(), output.begin(), output.end());
        alone.states.push_back(state);
      }
      sessions_.push_back(std::move(alone));
    }
  }

  struct Alone {
    std::vector<float> input;                // [T, I]
    std::vector<float> output;               // [T, H]
    std::vector<std::vector<float>> states;  // Before each step, and after the last.
  };

  const LoadedRandomModel& model() const { return model_; }
  const Alone& session(size_t i) const { return sessions_[i]; }

 private:
  const LoadedRandomModel model_;
  std::vector<Alone> sessions_;
};

const std::vector<std::unique_ptr<Trajectories>>& AllTrajectories() {
  static const auto* const all = [] {
    auto* made = new std::vector<std::unique_ptr<Trajectories>>;
    std::vector<GruConfig> configs = {
        {.input_size = 3, .hidden_size = 5, .num_layers = 2},
        {.input_size = 17, .hidden_size = 64},
        {.cell_kind = CellKind::kResetBefore, .input_size = 8, .hidden_size = 24, .num_layers = 3},
        {.input_size = 10, .hidden_size = 33, .bias = false},
    };
    if (CheckProcessorHas(ComputeDtype::kBf16).ok())
      configs.push_back({.input_size = 9, .hidden_size = 48, .compute_dtype = ComputeDtype::kBf16});
    uint32_t seed = 1;
    for (const GruConfig& config : configs) made->push_back(std::make_unique<Trajectories>(seed++, config));
    return made;
  }();
  return *all;
}

// Some steps of one session, from some step on, as one step or as a chunk.
class Part : public StepTask, public SequenceTask {
 public:
  void Submit(ComputePool* pool, const Trajectories& of, size_t session, int64_t begin, int64_t steps,
              std::latch* done) {
    const GruConfig& config = of.model().config();
    alone_ = &of.session(session);
    begin_ = begin;
    steps_ = steps;
    done_ = done;
    state_ = alone_->states[static_cast<size_t>(begin)];
    output_.assign(static_cast<size_t>(steps * config.output_size()), -2);
    const float* const input = alone_->input.data() + begin * config.input_size;
    if (steps == 1) {
      StepTask::model = of.model().handle().get();
      row_ = {input, state_.data(), output_.data()};
      StepTask::rows = {&row_, 1};
      ASSERT_TRUE(pool->SubmitStep(this).ok());
      return;
    }
    SequenceTask::model = of.model().handle().get();
    row_state_ = state_.data();
    call = {};
    call.time_steps = steps;
    call.batch_size = 1;
    call.input = input;
    call.input_time_stride = config.input_size;
    call.input_batch_stride = config.input_size;
    call.output = output_.data();
    call.output_time_stride = config.output_size();
    call.output_batch_stride = config.output_size();
    call.states = {&row_state_, 1};
    ASSERT_TRUE(pool->SubmitSequence(this).ok());
  }

  void OnStepDone(const absl::Status& status) override { Done(status); }
  void OnSequenceDone(const absl::Status& status) override { Done(status); }

  bool AsAlone() const {
    const std::vector<float>& state = alone_->states[static_cast<size_t>(begin_ + steps_)];
    const size_t width = output_.size() / static_cast<size_t>(steps_);
    const float* const output = alone_->output.data() + static_cast<size_t>(begin_) * width;
    return ok_ && std::memcmp(output, output_.data(), output_.size() * sizeof(float)) == 0 &&
           std::memcmp(state.data(), state_.data(), state.size() * sizeof(float)) == 0;
  }

 private:
  void Done(const absl::Status& status) {
    ok_ = status.ok();
    done_->count_down();
  }

  const Trajectories::Alone* alone_ = nullptr;
  int64_t begin_ = 0;
  int64_t steps_ = 0;
  std::latch* done_ = nullptr;
  bool ok_ = false;
  StepRow row_;
  float* row_state_ = nullptr;
  std::vector<float> state_;
  std::vector<float> output_;
};

// Runs mixes; answers how many parts differed.
int RunMixes(ComputePool* pool, uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  std::vector<Part> parts(64);
  int differing = 0;
  for (int mix = 0; mix < kMixesEach; ++mix) {
    const size_t count = 1 + below(below(4) == 0 ? parts.size() : 12);
    const size_t most_in_a_round = 1 + below(16);
    const bool chunks = below(4) == 0;
    std::latch done(static_cast<std::ptrdiff_t>(count));
    for (size_t i = 0; i < count;) {
      const WorkRound round(WorkRound::Thread::kCaller);
      for (const size_t end = std::min(count, i + most_in_a_round); i < end; ++i) {
        const Trajectories& of = *AllTrajectories()[below(AllTrajectories().size())];
        const auto begin = static_cast<int64_t>(below(kSteps));
        const auto most = static_cast<size_t>(std::min(kMostChunk, kSteps - begin));
        const int64_t steps = chunks ? 1 + static_cast<int64_t>(below(most)) : 1;
        parts[i].Submit(pool, of, below(kSessions), begin, steps, &done);
      }
    }
    done.wait();
    for (size_t i = 0; i < count; ++i) differing += parts[i].AsAlone() ? 0 : 1;
  }
  return differing;
}

TEST(RandomMixesTest, HaveTheBitsThatEachSessionHasAlone) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  ComputePool pool({.num_workers = kWorkers, .in_place_limit = absl::Milliseconds(1)}, Clock::Real());
  std::vector<int> differing(kSubmitters);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kSubmitters; ++i)
    threads.emplace_back([&, i] { differing[i] = RunMixes(&pool, seed + i); });
  for (std::thread& thread : threads) thread.join();
  for (const int count : differing) EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace gruserve

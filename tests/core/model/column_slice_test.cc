// Two parts of a slice compute the bits of the primitives, in whatever order and at
// whatever pace they run.

#include "core/model/column_slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "core/model/replica.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

constexpr int kParts = ColumnSlice::kParts;

class ColumnSliceTest : public ::testing::TestWithParam<std::tuple<int64_t, ComputeDtype>> {
 protected:
  static constexpr int64_t kSteps = 45;

  void SetUp() override {
    if (const absl::Status has = CheckProcessorHas(config_.compute_dtype); !has.ok()) GTEST_SKIP() << has;
    model_ = RandomModel(11, config_);
    if (!model_->has_columns()) return;  // Other bits here: such a library has no slices.
    batch_ = model_->buckets().buckets()[model_->buckets().Pick(1, std::get<0>(GetParam()))].batch_size;
    expected_ = SequenceArrays(config_, kSteps, batch_, 5);
    ASSERT_TRUE(Replica::Create(model_).value()->RunSequence(expected_.call()).ok());
    slice_ = ColumnSlice::Create(*model_, /*layer=*/0, kSteps, batch_).value();
    slice_->Attach(model_);
  }

  void Fill(ColumnSlice& slice) {
    slice.Begin(/*layer=*/0, kSteps, batch_);
    std::copy(expected_.input.begin(), expected_.input.end(), slice.input());
    std::copy(expected_.h_0.begin(), expected_.h_0.end(), slice.state());
  }

  void ExpectWinnersBits(int part) {
    ASSERT_TRUE(slice_->status(part).ok()) << slice_->status(part);
    EXPECT_TRUE(
        SameBits(expected_.output.data(), slice_->output(part), kSteps * batch_ * config_.hidden_size));
  }

  const GruConfig config_{.input_size = 24, .hidden_size = 192, .compute_dtype = std::get<1>(GetParam())};
  std::shared_ptr<const Model> model_;
  int64_t batch_ = 0;
  SequenceArrays expected_{config_, 1, 1, 0};
  std::shared_ptr<ColumnSlice> slice_;
  std::mt19937 random_{17};
};

TEST_P(ColumnSliceTest, OnePartAloneDoesAll) {
  if (slice_ == nullptr) return;
  for (int part = 0; part < kParts; ++part) {
    Fill(*slice_);
    slice_->Open();
    ASSERT_TRUE(slice_->Run(part));
    EXPECT_FALSE(slice_->shared(part));
    ExpectWinnersBits(part);
    EXPECT_FALSE(slice_->Run(1 - part)) << "it comes when all is done";
  }
}

// A part runs some steps, then the other: as if each lost its processor at random,
// and for as long as it likes.
TEST_P(ColumnSliceTest, AnyMixOfPartsGivesTheSameBits) {
  if (slice_ == nullptr) return;
  for (int round = 0; round < 40; ++round) {
    Fill(*slice_);
    slice_->Open();
    std::uniform_int_distribution<int> burst(0, round % 2 == 0 ? 2 : 20);
    bool joined[kParts] = {};
    int part = round % kParts;
    int winner = -1;
    while (winner < 0) {
      joined[part] = joined[part] || slice_->Join(part);
      for (int i = burst(random_); i > 0 && slice_->Advance(part); --i) {
      }
      if (slice_->Win(part)) winner = part;
      part = 1 - part;
    }
    ExpectWinnersBits(winner);
    EXPECT_FALSE(slice_->Advance(1 - winner));
    EXPECT_FALSE(slice_->Win(1 - winner));
  }
}

TEST_P(ColumnSliceTest, TwoThreadsGiveTheSameBits) {
  if (slice_ == nullptr) return;
  for (int round = 0; round < 60; ++round) {
    Fill(*slice_);
    bool won[kParts] = {};
    std::vector<std::thread> threads;
    for (int part = 0; part < kParts; ++part) {
      threads.emplace_back([this, &won, part] { won[part] = slice_->Run(part); });
    }
    slice_->Open();
    for (std::thread& thread : threads) thread.join();
    // Neither, where both gave up waiting for Open.
    ASSERT_FALSE(won[0] && won[1]);
    if (won[0] || won[1]) ExpectWinnersBits(won[0] ? 0 : 1);
  }
}

TEST_P(ColumnSliceTest, ThreadsThatAreHeldUpGiveTheSameBits) {
  if (slice_ == nullptr) return;
  for (int round = 0; round < 30; ++round) {
    Fill(*slice_);
    slice_->Open();
    std::atomic<int> winner = -1;
    std::vector<std::thread> threads;
    for (int part = 0; part < kParts; ++part) {
      threads.emplace_back([this, &winner, part, seed = static_cast<uint32_t>(2 * round + part)] {
        std::minstd_rand random(seed);
        if (!slice_->Join(part)) return;
        do {
          if (random() % 8 == 0) std::this_thread::yield();
        } while (slice_->Advance(part));
        if (slice_->Win(part)) winner = part;
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_GE(winner, 0);
    ExpectWinnersBits(winner);
  }
}

TEST_P(ColumnSliceTest, APartThatIsSentAwayLeavesTheRestToTheOther) {
  if (slice_ == nullptr) return;
  Fill(*slice_);
  slice_->Open();
  ASSERT_TRUE(slice_->Join(1));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(slice_->Advance(1));
  slice_->SendAway(1);
  EXPECT_FALSE(slice_->Advance(1));
  EXPECT_FALSE(slice_->Win(1));
  EXPECT_TRUE(slice_->Run(0));
  ExpectWinnersBits(0);
}

TEST_P(ColumnSliceTest, APartLeavesASliceThatIsNotOpened) {
  if (slice_ == nullptr) return;
  Fill(*slice_);
  EXPECT_FALSE(slice_->Run(1));
  slice_->Open();
  EXPECT_TRUE(slice_->Run(0));
  ExpectWinnersBits(0);
}

TEST_P(ColumnSliceTest, NumbersThatAreNotFiniteHaveTheSameBits) {
  if (slice_ == nullptr) return;
  expected_.input[static_cast<size_t>(7 * batch_ * config_.input_size)] = NAN;
  expected_.input[static_cast<size_t>(9 * batch_ * config_.input_size + 3)] = INFINITY;
  expected_.Reset();
  ASSERT_TRUE(Replica::Create(model_).value()->RunSequence(expected_.call()).ok());
  ASSERT_FALSE(std::isfinite(expected_.states[0]));
  Fill(*slice_);
  slice_->Open();
  ASSERT_TRUE(slice_->Run(1));
  ExpectWinnersBits(1);
}

INSTANTIATE_TEST_SUITE_P(Rows, ColumnSliceTest,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4),
                                            ::testing::Values(ComputeDtype::kF32, ComputeDtype::kBf16)),
                         [](const auto& test) {
                           return Name(std::get<1>(test.param)) + std::to_string(std::get<0>(test.param));
                         });

}  // namespace
}  // namespace gruserve

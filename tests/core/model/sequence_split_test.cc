#include "core/model/sequence_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

SequenceSplit Split(const GruConfig& config, int64_t time_steps, int64_t batch_size, int64_t parallelism,
                    const std::vector<int64_t>& lengths = {}) {
  const std::shared_ptr<const Model> model = RandomModel(1, config);
  return SplitSequence(*model, {.time_steps = time_steps, .batch_size = batch_size, .lengths = lengths},
                       parallelism);
}

std::vector<int64_t> GroupSizes(const SequenceSplit& split) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < split.num_groups(); ++i) {
    sizes.push_back(static_cast<int64_t>(split.group(i).size()));
  }
  return sizes;
}

constexpr GruConfig kLarge{.input_size = 128, .hidden_size = 128};
constexpr GruConfig kStacked{.input_size = 128, .hidden_size = 128, .num_layers = 4};
constexpr GruConfig kBoth{.input_size = 128, .hidden_size = 128, .num_directions = 2};

TEST(SequenceSplitTest, EveryRowIsInOneGroup) {
  for (const int64_t batch : {1, 2, 3, 31, 64, 65, 127, 130, 200, 512}) {
    for (const int64_t parallelism : {1, 2, 3, 8}) {
      SequenceSplit split = Split(kLarge, 500, batch, parallelism);
      const std::vector<int64_t> sizes = GroupSizes(split);
      EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), batch);
      EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), std::min<int64_t>(64, sizes.front()));
      EXPECT_GE(*std::min_element(sizes.begin(), sizes.end()), 1);
      EXPECT_LE(split.lanes, std::min(parallelism, split.num_groups()));
      std::sort(split.order.begin(), split.order.end());
      std::vector<int64_t> all(static_cast<size_t>(batch));
      std::iota(all.begin(), all.end(), 0);
      EXPECT_THAT(split.order, ElementsAreArray(all));
    }
  }
}

TEST(SequenceSplitTest, GroupsHaveEqualSharesOfRaggedRows) {
  const SequenceSplit split = Split(kLarge, 400, 5, 2, {100, 400, 200, 350, 150});
  EXPECT_THAT(split.order, ElementsAre(1, 2, 0, 3, 4));
  EXPECT_THAT(GroupSizes(split), ElementsAre(3, 2));
}

TEST(SequenceSplitTest, OneWorkerTakesFullGroups) {
  const SequenceSplit split = Split(kLarge, 500, 150, 1);
  EXPECT_THAT(GroupSizes(split), ElementsAre(64, 64, 22));
  EXPECT_EQ(split.lanes, 1);
  EXPECT_EQ(split.slices_between, 1);
}

// Each step of it reads more weights than it computes.
TEST(SequenceSplitTest, AShortCallOfLargeWeightsIsSharedByColumns) {
  const GruConfig config{.input_size = 768, .hidden_size = 768};
  const std::shared_ptr<const Model> model = RandomModel(1, config);
  if (!model->has_columns()) return;  // Other bits here: such a library has none.
  EXPECT_TRUE(SplitSequence(*model, {.time_steps = 2, .batch_size = 1}, 2).columns);
  EXPECT_FALSE(SplitSequence(*model, {.time_steps = 2, .batch_size = 1}, 1).columns);
  EXPECT_FALSE(SplitSequence(*model, {.time_steps = 1, .batch_size = 1}, 2).columns);
  // Slices are of whole projections.
  const int64_t steps = SplitSequence(*model, {.time_steps = 500, .batch_size = 1}, 2).max_column_steps;
  EXPECT_EQ(steps % GruColumns::kMaxProjectedSteps, 0) << steps;
}

TEST(SequenceSplitTest, StackedLayersOfLargeWeightsAreSharedByColumnsOneByOne) {
  const std::shared_ptr<const Model> model =
      RandomModel(1, {.input_size = 32, .hidden_size = 768, .num_layers = 3});
  if (!model->has_columns()) return;  // Other bits here: such a library has none.
  const auto split = [&model](int64_t time_steps, int64_t batch_size, int64_t parallelism) {
    return SplitSequence(*model, {.time_steps = time_steps, .batch_size = batch_size}, parallelism);
  };
  EXPECT_TRUE(split(50, 2, 2).columns);
  EXPECT_TRUE(split(50, 2, 2).layer_by_layer);
  EXPECT_FALSE(split(50, 2, 2).shared);
  for (const SequenceSplit& wave : {split(50, 3, 2), split(50, 2, 3), split(10000, 2, 2), split(50, 2, 1)}) {
    EXPECT_FALSE(wave.columns);
    EXPECT_FALSE(wave.layer_by_layer);
  }
  EXPECT_FALSE(SharesLoneStep(*model));
  EXPECT_FALSE(RandomModel(1, {.input_size = 32, .hidden_size = 512, .num_layers = 2})->has_columns());
}

TEST(SequenceSplitTest, ASmallCallIsNotShared) {
  EXPECT_EQ(Split(kLarge, 4, 8, 2).num_groups(), 1);
  EXPECT_EQ(Split(kLarge, 400, 8, 2).num_groups(), 2);
}

TEST(SequenceSplitTest, FewRowsOfManyTracksStayTogether) {
  EXPECT_EQ(Split(kStacked, 500, 8, 2).num_groups(), 1);
  EXPECT_EQ(Split(kBoth, 500, 8, 2).num_groups(), 1);
  EXPECT_EQ(Split(kBoth, 500, 8, 4).num_groups(), 2);
  EXPECT_EQ(Split(kStacked, 500, 32, 2).num_groups(), 2);
}

TEST(SequenceSplitTest, RowsThatReadBigWeightsStayTogether) {
  constexpr GruConfig kBig{.input_size = 512, .hidden_size = 512};
  EXPECT_EQ(Split(kBig, 500, 7, 2).num_groups(), 1);
  EXPECT_EQ(Split(kBig, 500, 8, 2).num_groups(), 2);
  EXPECT_EQ(Split(kLarge, 500, 2, 2).num_groups(), 2);
}

TEST(SequenceSplitTest, SharedCallsHaveShorterSlices) {
  EXPECT_EQ(Split(kLarge, 500, 1, 1).max_slice_steps, 128);
  EXPECT_EQ(Split(kLarge, 500, 1, 2).max_slice_steps, 128) << "one track is for one worker";
  EXPECT_EQ(Split(kBoth, 500, 1, 2).max_slice_steps, 64);
  EXPECT_LE(Split(kStacked, 500, 4, 2).max_slice_steps, 32);
}

}  // namespace
}  // namespace gruserve

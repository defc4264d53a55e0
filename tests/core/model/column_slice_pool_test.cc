#include "core/model/column_slice_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "core/model/column_slice.h"
#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

class ColumnSlicePoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!model_->has_columns()) GTEST_SKIP() << "other bits here: such a library has no columns";
  }

  std::shared_ptr<ColumnSlice> Take(int64_t layer) {
    return model_->column_slices().Take(model_, layer).value();
  }

  std::shared_ptr<const Model> model_ =
      RandomModel(4, {.input_size = 16, .hidden_size = 640, .num_layers = 2});
};

TEST_F(ColumnSlicePoolTest, GivesAgainWhatCameBack) {
  std::shared_ptr<ColumnSlice> slice = Take(0);
  const ColumnSlice* const first = slice.get();
  EXPECT_NE(Take(0).get(), first) << "it is in use";
  std::shared_ptr<ColumnSlice> late = slice;
  slice.reset();
  EXPECT_NE(Take(0).get(), first) << "somebody is still at it";
  late.reset();
  EXPECT_EQ(Take(0).get(), first);
}

TEST_F(ColumnSlicePoolTest, KeepsTheShapesApart) {
  const ColumnSlice* const first = Take(0).get();
  const std::shared_ptr<ColumnSlice> other = Take(1);
  EXPECT_NE(other.get(), first);
  other->Begin(/*layer=*/1, 1, 1);
  EXPECT_EQ(Take(0).get(), first);
}

TEST_F(ColumnSlicePoolTest, KeepsAFew) {
  std::vector<std::shared_ptr<ColumnSlice>> taken;
  std::set<const ColumnSlice*> all;
  for (int i = 0; i < 12; ++i) {
    taken.push_back(Take(1));
    all.insert(taken.back().get());
  }
  EXPECT_EQ(all.size(), 12U);
  taken.clear();
  const std::shared_ptr<ColumnSlice> again = Take(1);
  EXPECT_TRUE(all.contains(again.get()));
}

TEST_F(ColumnSlicePoolTest, AModelGoesWhenItsLastSliceIsLetGo) {
  const std::weak_ptr<const Model> watched = model_;
  std::shared_ptr<ColumnSlice> late = Take(0);
  Take(1);  // Comes back at once.
  model_.reset();
  EXPECT_FALSE(watched.expired()) << "who is at a slice needs the weights";
  late.reset();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace gruserve

#include <gtest/gtest.h>

#include <vector>

#include "core/model/replica.h"
#include "core/model/sequence_run.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

namespace gruserve {
namespace {

class AllocationTest : public ::testing::Test {
 protected:
  const GruConfig config_{.input_size = 12, .hidden_size = 40, .num_layers = 3};
  const std::shared_ptr<const Model> model_ = RandomModel(1, config_);
  const std::unique_ptr<Replica> replica_ = Replica::Create(model_).value();
};

TEST_F(AllocationTest, CounterCounts) {
  AllocationCounter counter;
  const std::vector<int> vector(10);
  EXPECT_GE(counter.Stop(), 1);
  EXPECT_EQ(vector.size(), 10U);
}

TEST_F(AllocationTest, StepsAllocateNothing) {
  SequenceArrays arrays(config_, 1, 150, 1);
  std::vector<StepRow> rows;
  for (int64_t b = 0; b < 150; ++b) {
    rows.push_back({.input = arrays.input.data() + b * config_.input_size,
                    .state = arrays.rows[static_cast<size_t>(b)],
                    .output = arrays.output.data() + b * config_.output_size()});
  }
  bool ok = true;
  AllocationCounter counter;
  for (size_t count = 1; count <= rows.size(); ++count) {
    ok = ok && replica_->RunSteps({rows.data(), count}).ok();
  }
  EXPECT_EQ(counter.Stop(), 0);
  EXPECT_TRUE(ok);
}

TEST_F(AllocationTest, SlicesAllocateNothing) {
  SequenceArrays arrays(config_, 77, 70, 1);
  SequenceRun run(model_, arrays.call(), /*parallelism=*/2);
  bool ok = true;
  AllocationCounter counter;
  while (!run.done()) ok = ok && run.Advance(*replica_).ok();
  EXPECT_EQ(counter.Stop(), 0);
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace gruserve

#include <gtest/gtest.h>

#include <vector>

#include "tests/core/network/network_fixture.h"
#include "tests/support/allocation_counter.h"

namespace gruserve {
namespace {

class NetworkAllocationTest : public testing::TestWithParam<NetworkForm> {};

TEST_P(NetworkAllocationTest, StepsAllocateNothing) {
  const auto network = GetParam().Load();
  if (!network->steppable()) return;
  const auto replica = NetworkReplica::Create(network).value();
  NetworkCall call(*network, 1, 150, 1);
  std::vector<StepRow> rows;
  for (int64_t b = 0; b < 150; ++b) {
    rows.push_back({.input = call.input.data() + b * network->input_size(),
                    .state = call.rows[static_cast<size_t>(b)],
                    .output = call.output.data() + b * network->output_size()});
  }
  bool ok = true;
  AllocationCounter counter;
  for (size_t count = 1; count <= rows.size(); ++count)
    ok = ok && replica->RunSteps({rows.data(), count}).ok();
  EXPECT_EQ(counter.Stop(), 0);
  EXPECT_TRUE(ok);
}

INSTANTIATE_TEST_SUITE_P(Forms, NetworkAllocationTest, testing::ValuesIn(kForms),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gruserve

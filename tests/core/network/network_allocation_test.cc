// Counts what our own code allocates while steps of networks run. oneDNN allocates
// too, for the map of arguments of each execution: calls from libdnnl are left out.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "tests/core/network/network_fixture.h"

namespace {

std::atomic<bool> counting = false;
std::atomic<int> our_allocations = 0;

bool CalledByDnnl(void* return_address) {
  Dl_info info;
  return dladdr(return_address, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libdnnl") != nullptr;
}

}  // namespace

// Not inlined: the return address names the caller, and gcc 12 takes an inlined
// pair of these for a mismatched one.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (counting && !CalledByDnnl(__builtin_return_address(0))) ++our_allocations;
  return std::malloc(size == 0 ? 1 : size);
}

[[gnu::noinline]] void* operator new(size_t size) {
  if (counting && !CalledByDnnl(__builtin_return_address(0))) ++our_allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

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
  our_allocations = 0;
  counting = true;
  for (size_t count = 1; count <= rows.size(); ++count)
    ok = ok && replica->RunSteps({rows.data(), count}).ok();
  counting = false;
  EXPECT_TRUE(ok);
  EXPECT_EQ(our_allocations, 0);
}

INSTANTIATE_TEST_SUITE_P(Forms, NetworkAllocationTest, testing::ValuesIn(kForms),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gruserve

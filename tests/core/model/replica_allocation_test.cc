// Counts what our own code allocates while steps run. oneDNN allocates too, for
// the map of arguments of each execution: calls from libdnnl are left out.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "core/model/replica.h"
#include "core/model/sequence_run.h"
#include "tests/support/reference_gru.h"
#include "tests/support/sequence_arrays.h"

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

class AllocationTest : public ::testing::Test {
 protected:
  const GruConfig config_{.input_size = 12, .hidden_size = 40, .num_layers = 3};
  const std::shared_ptr<const Model> model_ = RandomModel(1, config_);
  const std::unique_ptr<Replica> replica_ = Replica::Create(model_).value();
};

TEST_F(AllocationTest, CounterCounts) {
  counting = true;
  std::vector<int> vector(10);
  counting = false;
  EXPECT_EQ(vector.size(), 10U);
  EXPECT_GE(our_allocations.exchange(0), 1);
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
  our_allocations = 0;
  counting = true;
  for (size_t count = 1; count <= rows.size(); ++count) {
    ok = ok && replica_->RunSteps({rows.data(), count}).ok();
  }
  counting = false;
  EXPECT_TRUE(ok);
  EXPECT_EQ(our_allocations, 0);
}

TEST_F(AllocationTest, SlicesAllocateNothing) {
  SequenceArrays arrays(config_, 77, 70, 1);
  SequenceRun run(model_, arrays.call(), /*parallelism=*/2);
  bool ok = true;
  our_allocations = 0;
  counting = true;
  while (!run.done()) ok = ok && run.Advance(*replica_).ok();
  counting = false;
  EXPECT_TRUE(ok);
  EXPECT_EQ(our_allocations, 0);
}

}  // namespace
}  // namespace gruserve

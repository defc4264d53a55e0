#include "tests/support/allocation_counter.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<bool> counting = false;
std::atomic<int> allocations = 0;

bool CalledByDnnl(void* return_address) {
  Dl_info info;
  return dladdr(return_address, &info) != 0 && info.dli_fname != nullptr &&
         std::strstr(info.dli_fname, "libdnnl") != nullptr;
}

}  // namespace

// Not inlined: the return address names the caller, and gcc 12 takes an inlined
// pair of these for a mismatched one.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (counting && !CalledByDnnl(__builtin_return_address(0))) ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}

[[gnu::noinline]] void* operator new(size_t size) {
  if (counting && !CalledByDnnl(__builtin_return_address(0))) ++allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace gruserve {

AllocationCounter::AllocationCounter() {
  allocations = 0;
  counting = true;
}

int AllocationCounter::Stop() {
  counting = false;
  return allocations;
}

}  // namespace gruserve

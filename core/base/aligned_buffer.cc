#include "core/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/base/config.h"
#include "core/base/rounding.h"

namespace gruserve {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
constexpr bool kMapsLarge = false;  // Only around what malloc gives does it see a bad access.
#else
constexpr bool kMapsLarge = true;
#endif

// Zeros from Linux itself, which begin on a huge page: what malloc gives a second time lies in
// small pages already. Null where there is no memory. `mapped` is what is to be unmapped: `bytes`
// and up to a huge page of addresses behind them, which nobody touches.
void* MapZeros(size_t bytes, size_t* mapped) {
  *mapped = bytes + kHugePage;
  void* const memory = mmap(nullptr, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage) % kHugePage;
  if (before > 0) munmap(memory, before);
  *mapped -= before;
  void* const begin = static_cast<char*>(memory) + before;
  // Advice: nothing is lost where it is refused. The last part of a huge page stays small.
  madvise(begin, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return begin;
}

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t size) : size_(size) {
  const auto bytes =
      static_cast<size_t>(RoundUp(size * static_cast<int64_t>(sizeof(float)), int64_t{kAlignment}));
  if (bytes == 0) return;
  const bool large = kMapsLarge && bytes >= kHugePage;
  size_t mapped = 0;
  void* const memory = large ? MapZeros(bytes, &mapped) : std::aligned_alloc(kAlignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  if (!large) std::memset(memory, 0, bytes);
  data_ = {static_cast<float*>(memory), Free{mapped}};
}

void AlignedBuffer::Free::operator()(float* memory) const {
  if (mapped == 0) return std::free(memory);
  munmap(memory, mapped);
}

}  // namespace gruserve

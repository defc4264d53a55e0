#include "core/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "core/base/rounding.h"

namespace gruserve {
namespace {

constexpr int64_t kPage = int64_t{4} << 10;
constexpr size_t kHugePage = size_t{2} << 20;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kMapsLarge = false;  // Only around what malloc gives does it see a bad access.
#else
constexpr bool kMapsLarge = true;
#endif

// Zeros from Linux itself, which begin on a huge page: what malloc gives a second time lies in
// small pages already. Null where there is no memory. REQUIRES: whole pages.
void* MapPages(size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<char*>(memory);
  const size_t before = kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage;
  munmap(begin, before);
  if (before < kHugePage) munmap(begin + before + bytes, kHugePage - before);
  // Advice: nothing is lost where it is refused. The last part of a huge page stays small.
  madvise(begin + before, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t size) : size_(size) {
  const int64_t exact = size * static_cast<int64_t>(sizeof(float));
  if (exact == 0) return;
  const bool large = kMapsLarge && exact >= static_cast<int64_t>(kHugePage);
  const auto bytes = static_cast<size_t>(RoundUp(exact, large ? kPage : int64_t{kAlignment}));
  void* const memory = large ? MapPages(bytes) : std::aligned_alloc(kAlignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  if (!large) std::memset(memory, 0, bytes);
  data_ = {static_cast<float*>(memory), Free{large ? bytes : 0}};
}

void AlignedBuffer::Free::operator()(float* memory) const {
  if (mapped == 0) return std::free(memory);
  munmap(memory, mapped);
}

}  // namespace gruserve

// A fixed-size array of floats on a 64-byte boundary, as oneDNN likes them. A large one,
// such as a model's weights, lies in huge pages where Linux has them: what strides
// through it finds its addresses translated.
// Move-only. Not thread-safe.

#ifndef GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_
#define GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace gruserve {

class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  AlignedBuffer() = default;

  // `size` floats, all zero. REQUIRES: size >= 0, and its bytes fit a size_t.
  explicit AlignedBuffer(int64_t size) : size_(size) {
    const size_t bytes =
        (static_cast<size_t>(size) * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes == 0) return;
    const bool huge = bytes >= kHugeBytes;
    const size_t alignment = huge ? kHugePage : kAlignment;
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    // Advice: nothing is lost where it is refused. The last page, in part, stays small.
    if (huge) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
    std::memset(memory, 0, bytes);
    data_.reset(static_cast<float*>(memory));
  }

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  std::span<float> span() { return {data(), static_cast<size_t>(size_)}; }
  std::span<const float> span() const { return {data(), static_cast<size_t>(size_)}; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kHugeBytes = 2 * kHugePage;

  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_

// A fixed-size array of floats on a 64-byte boundary, as oneDNN likes them. A large one,
// such as a model's weights, lies in huge pages where Linux has them: what strides
// through it finds its addresses translated. It comes from Linux and goes back there.
// Move-only. Not thread-safe.

#ifndef GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_
#define GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace gruserve {

class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  AlignedBuffer() = default;

  // `size` floats, all zero. std::bad_alloc where there is no memory. REQUIRES: size >= 0, and
  // its bytes fit an int64_t.
  explicit AlignedBuffer(int64_t size);

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  std::span<float> span() { return {data(), static_cast<size_t>(size_)}; }
  std::span<const float> span() const { return {data(), static_cast<size_t>(size_)}; }

 private:
  struct Free {
    size_t mapped;  // Bytes from mmap; 0: from malloc.
    void operator()(float* memory) const;
  };
  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_ALIGNED_BUFFER_H_

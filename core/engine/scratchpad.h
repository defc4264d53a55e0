// Room for what a primitive keeps while it runs. Memory that only large buckets
// need is not touched before one runs: so the system gives it only then.
// Move-only. Not thread-safe: one run at a time.

#ifndef GRUSERVE_CORE_ENGINE_SCRATCHPAD_H_
#define GRUSERVE_CORE_ENGINE_SCRATCHPAD_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace gruserve {

class Scratchpad {
 public:
  // Unset bytes, on a page boundary. REQUIRES: bytes >= 0.
  explicit Scratchpad(int64_t bytes = 0) : bytes_(bytes) {
    constexpr size_t kPage = 4096;
    if (bytes == 0) return;
    data_.reset(std::aligned_alloc(kPage, (static_cast<size_t>(bytes) + kPage - 1) / kPage * kPage));
    if (data_ == nullptr) throw std::bad_alloc();
  }

  void* data() { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  int64_t bytes_ = 0;
  std::unique_ptr<void, Free> data_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_SCRATCHPAD_H_

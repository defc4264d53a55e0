// Rows of hidden state of one model: fixed size, 64-byte aligned, zeroed when
// handed out. Memory that no row uses goes back to the system.
//
// Thread-safe. A row's contents belong to whoever holds it.

#ifndef GRUSERVE_CORE_RUNTIME_STATE_SLAB_H_
#define GRUSERVE_CORE_RUNTIME_STATE_SLAB_H_

#include <cstdint>
#include <memory>

namespace gruserve {

class StateSlab {
 public:
  // Rows of `row_size` floats. REQUIRES: row_size >= 1.
  explicit StateSlab(int64_t row_size);
  // REQUIRES: every row has come back.
  ~StateSlab();

  StateSlab(const StateSlab&) = delete;
  StateSlab& operator=(const StateSlab&) = delete;

  // A row of zeros, until Free.
  float* Allocate();
  void Free(float* row);

  // Floats from one row to the next, the padding included.
  int64_t row_stride() const { return row_stride_; }

 private:
  struct Rooms;
  const int64_t row_stride_;
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_STATE_SLAB_H_

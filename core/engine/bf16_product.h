// Products of rows with a matrix of weights, both rounded to bf16 and added up in f32: oneDNN's
// inner products with packed weights, one for each block of inputs.
//
// Within a block the inputs are added one after the other, whatever the rows, and the sums of
// the blocks then from the first to the last. So with the blocks of a GRU primitive
// (summation_order.h) the bits are its own. Each block is filled up with zeros to whole
// instructions, since oneDNN adds what is left over apart.
//
// Immutable, so thread-safe; a Room belongs to one thread at a time. Make and run it under
// SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_BF16_PRODUCT_H_
#define GRUSERVE_CORE_ENGINE_BF16_PRODUCT_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "core/engine/row_product.h"

namespace gruserve {

class Bf16Product {
 public:
  // What a thread keeps while it multiplies: for all products of the same inputs, outputs, blocks
  // and rows as the one that it is made for. Move-only.
  class Room {
   public:
    explicit Room(const Bf16Product& product);
    Room(Room&&) noexcept;
    Room& operator=(Room&&) noexcept;
    ~Room();

   private:
    friend class Bf16Product;
    struct Rep;
    std::unique_ptr<Rep> rep_;
  };

  // Of the columns of all `parts`, one after the other, for each of the numbers of `rows`.
  // `blocks` are the inputs' and make up all of them. May throw dnnl::error, also where oneDNN
  // could only do it slowly. REQUIRES: at least one of each, and all parts of as many inputs.
  Bf16Product(std::span<const WeightMatrix> parts, std::span<const int64_t> blocks,
              std::span<const int64_t> rows);
  Bf16Product(Bf16Product&&) noexcept;
  Bf16Product& operator=(Bf16Product&&) noexcept;
  ~Bf16Product();

  // products [rows, outputs] = src [rows, inputs] * the matrix. Internal where oneDNN fails.
  // REQUIRES: `rows` was among the constructor's; `products` on a 64-byte boundary.
  absl::Status Multiply(int64_t rows, const float* src, float* products, Room& room) const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_BF16_PRODUCT_H_

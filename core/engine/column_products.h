// The matrix products of a GruColumns: what the inputs and what the state add to the gates u, r
// and o of a block of hidden units. In f32 the layer's weights are read where they lie, and the
// recurrent ones copied block by block; in bf16 both are copied.
//
// Immutable, so thread-safe; a Room belongs to one thread at a time. Make and run it under
// SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_COLUMN_PRODUCTS_H_
#define GRUSERVE_CORE_ENGINE_COLUMN_PRODUCTS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "core/engine/bucket.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/summation_order.h"

namespace gruserve {

class ColumnProducts {
 public:
  // What a thread keeps while it multiplies, for all layers of one shape.
  class Room {
   public:
    virtual ~Room() = default;
  };

  // Of `blocks` blocks of as many units. `weights` are plain, in f32. For up to `max_batch_size`
  // rows, and for inputs up to `max_steps` times as many, a power of two. May throw dnnl::error.
  static std::unique_ptr<const ColumnProducts> Create(const GruLayerShape& shape,
                                                      const GruLayerWeights& weights,
                                                      const SummationOrder& order, int64_t blocks,
                                                      int64_t max_batch_size, int64_t max_steps);
  virtual ~ColumnProducts() = default;

  // May throw dnnl::error.
  virtual std::unique_ptr<Room> MakeRoom() const = 0;

  // products [rows, 3, units of a block] of src_layer [rows, I] or src_iter [rows, H]. `weights`
  // are the layer's, as its primitives read them. Internal where oneDNN fails.
  virtual absl::Status OfInputs(const GruLayerWeights& weights, int block, int64_t rows,
                                const float* src_layer, float* products, Room& room) const = 0;
  virtual absl::Status OfStates(int block, int64_t rows, const float* src_iter, float* products,
                                Room& room) const = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_COLUMN_PRODUCTS_H_

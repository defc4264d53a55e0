// One GRU layer, linear before reset, computed in two blocks of hidden units: a
// block needs the whole state before a step, and gives its own units after it. So
// two cores can share a step that oneDNN's primitive would run on one, each with
// its block of the recurrent weights in its own cache (DeepCPU's idea).
//
// Built of oneDNN's matrix products and functions, in f32 or bf16. Whether the bits are those of the
// primitives is for column_trial.h to say. Immutable after Create, so thread-safe;
// a Workspace belongs to one thread at a time. Make and run under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_GRU_COLUMNS_H_
#define GRUSERVE_CORE_ENGINE_GRU_COLUMNS_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/column_products.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/summation_order.h"

namespace gruserve {

class GruColumns {
 public:
  static constexpr int kBlocks = 2;
  static constexpr int64_t kMaxBatchSize = 4;
  // Steps whose inputs are projected at once, at most; a power of two.
  static constexpr int64_t kMaxProjectedSteps = 16;

  // What a thread keeps while it computes steps, of any layer of the shape that it is made
  // for. Move-only.
  class Workspace {
   public:
    // Internal where oneDNN fails.
    static absl::StatusOr<Workspace> Create(const GruColumns& columns);

    Workspace(Workspace&&) noexcept;
    Workspace& operator=(Workspace&&) noexcept;
    ~Workspace();

   private:
    friend class GruColumns;
    struct Rep;
    explicit Workspace(std::unique_ptr<Rep> rep);

    std::unique_ptr<Rep> rep_;
  };

  // Whether a layer can be computed so, and is of a size where that may pay.
  static bool Fits(const GruLayerShape& shape);

  // Copies weights, block by block: of f32 the recurrent ones. They are plain, also for bf16
  // (before LayOutWeights). `order` is that of the shape's primitives. Internal where oneDNN
  // fails. REQUIRES: Fits(shape), and the weights are of that shape.
  static absl::StatusOr<std::unique_ptr<const GruColumns>> Create(const GruLayerShape& shape,
                                                                  const GruLayerWeights& weights,
                                                                  const SummationOrder& order);
  ~GruColumns();

  int64_t input_size() const { return shape_.input_size; }
  int64_t hidden_size() const { return shape_.hidden_size; }
  int64_t block_size() const { return shape_.hidden_size / kBlocks; }

  // What the inputs [rows, I] add to a block's gates: [rows, 3, block_size]. `weights` are
  // Create's, here and below, as the primitives read them. REQUIRES: rows are those of 1, 2, 4,
  // ... kMaxProjectedSteps steps of a batch of at most kMaxBatchSize.
  absl::Status Project(const GruLayerWeights& weights, int block, int64_t rows, const float* src_layer,
                       float* projection, Workspace& workspace) const;

  // One step of a block: from its rows of Project's and the whole state [N, H] its
  // units of the next one; the other units of `dst` are not touched. Arrays on
  // 64-byte boundaries. REQUIRES: 1 <= batch_size <= kMaxBatchSize.
  absl::Status Step(const GruLayerWeights& weights, int block, int64_t batch_size, const float* projection,
                    const float* src_iter, float* dst, Workspace& workspace) const;

 private:
  // By batch size, from 1 on.
  struct Functions;
  explicit GruColumns(const GruLayerShape& shape);

  const GruLayerShape shape_;
  std::unique_ptr<const ColumnProducts> products_;
  std::unique_ptr<const Functions> functions_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_GRU_COLUMNS_H_

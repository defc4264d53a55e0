#include "core/engine/column_products.h"

#include <array>
#include <cstddef>
#include <set>
#include <vector>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/engine/bf16_product.h"
#include "core/engine/row_product.h"
#include "core/engine/weight_panels.h"

namespace gruserve {
namespace {

constexpr int64_t kGates = 3;  // u, r, o
using GateMatrices = std::array<WeightMatrix, kGates>;

// Of a block of `size` units, in a matrix [inputs, 3, hidden] of that stride.
GateMatrices OfBlock(const AlignedBuffer& matrix, int64_t inputs, int64_t hidden, int64_t block, int64_t size,
                     int64_t stride) {
  GateMatrices gates;
  for (int64_t gate = 0; gate < kGates; ++gate) {
    gates[static_cast<size_t>(gate)] = {matrix.data() + gate * hidden + block * size, inputs, size, stride};
  }
  return gates;
}

class F32ColumnProducts final : public ColumnProducts {
 public:
  F32ColumnProducts(const GruLayerShape& shape, const GruLayerWeights& weights, const SummationOrder& order,
                    int64_t blocks)
      : shape_(shape), size_(shape.hidden_size / blocks), lone_row_block_(order.lone_row_block) {
    for (int64_t block = 0; block < blocks; ++block) {
      states_.emplace_back(OfBlock(weights.weights_iter, shape.hidden_size, shape.hidden_size, block, size_,
                                   kGates * shape.hidden_size));
    }
  }

  std::unique_ptr<Room> MakeRoom() const override {
    auto room = std::make_unique<PartialRoom>();
    room->partial = AlignedBuffer(kGates * size_);
    return room;
  }

  absl::Status OfInputs(const GruLayerWeights& weights, int block, int64_t rows, const float* src_layer,
                        float* products, Room& room) const override {
    float* const partial = static_cast<PartialRoom&>(room).partial.data();
    for (const WeightMatrix& gate : OfBlock(weights.weights_layer, shape_.input_size, shape_.hidden_size,
                                            block, size_, WeightStride(kGates * shape_.hidden_size))) {
      GRUSERVE_RETURN_IF_ERROR(rows == 1 ? MultiplyOneRow(src_layer, gate, lone_row_block_, products, partial)
                                         : MultiplyRows(rows, src_layer, gate, products, kGates * size_));
      products += size_;
    }
    return absl::OkStatus();
  }

  absl::Status OfStates(int block, int64_t rows, const float* src_iter, float* products,
                        Room& room) const override {
    return states_[static_cast<size_t>(block)].Multiply(rows, src_iter, lone_row_block_, products,
                                                        static_cast<PartialRoom&>(room).partial.data());
  }

 private:
  struct PartialRoom final : Room {
    AlignedBuffer partial;  // [3, size_]
  };

  const GruLayerShape shape_;
  const int64_t size_;
  const int64_t lone_row_block_;
  std::vector<WeightPanels> states_;  // By block: [H, 3 * size_].
};

class Bf16ColumnProducts final : public ColumnProducts {
 public:
  Bf16ColumnProducts(const GruLayerShape& shape, const GruLayerWeights& weights, const SummationOrder& order,
                     int64_t blocks, int64_t max_batch_size, int64_t max_steps) {
    const int64_t hidden = shape.hidden_size;
    const int64_t size = hidden / blocks;
    std::vector<int64_t> of_states;
    std::set<int64_t> projected;
    for (int64_t batch = 1; batch <= max_batch_size; ++batch) {
      of_states.push_back(batch);
      for (int64_t steps = 1; steps <= max_steps; steps *= 2) projected.insert(steps * batch);
    }
    const std::vector<int64_t> of_inputs(projected.begin(), projected.end());
    for (int64_t block = 0; block < blocks; ++block) {
      inputs_.emplace_back(
          OfBlock(weights.weights_layer, shape.input_size, hidden, block, size, kGates * hidden),
          order.layer_blocks, of_inputs);
      states_.emplace_back(OfBlock(weights.weights_iter, hidden, hidden, block, size, kGates * hidden),
                           order.iter_blocks, of_states);
    }
  }

  std::unique_ptr<Room> MakeRoom() const override {
    auto room = std::make_unique<ProductRooms>();
    for (const Bf16Product& product : inputs_) room->inputs.emplace_back(product);
    for (const Bf16Product& product : states_) room->states.emplace_back(product);
    return room;
  }

  absl::Status OfInputs(const GruLayerWeights& /*weights*/, int block, int64_t rows, const float* src_layer,
                        float* products, Room& room) const override {
    const auto at = static_cast<size_t>(block);
    return inputs_[at].Multiply(rows, src_layer, products, static_cast<ProductRooms&>(room).inputs[at]);
  }

  absl::Status OfStates(int block, int64_t rows, const float* src_iter, float* products,
                        Room& room) const override {
    const auto at = static_cast<size_t>(block);
    return states_[at].Multiply(rows, src_iter, products, static_cast<ProductRooms&>(room).states[at]);
  }

 private:
  struct ProductRooms final : Room {
    std::vector<Bf16Product::Room> inputs;
    std::vector<Bf16Product::Room> states;
  };

  std::vector<Bf16Product> inputs_;  // By block.
  std::vector<Bf16Product> states_;
};

}  // namespace

std::unique_ptr<const ColumnProducts> ColumnProducts::Create(const GruLayerShape& shape,
                                                             const GruLayerWeights& weights,
                                                             const SummationOrder& order, int64_t blocks,
                                                             int64_t max_batch_size, int64_t max_steps) {
  if (shape.dtype == ComputeDtype::kF32) {
    return std::make_unique<F32ColumnProducts>(shape, weights, order, blocks);
  }
  return std::make_unique<Bf16ColumnProducts>(shape, weights, order, blocks, max_batch_size, max_steps);
}

}  // namespace gruserve

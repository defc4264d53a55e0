#include "core/engine/summation_order.h"

#include <algorithm>
#include <utility>

#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/layer_kernel.h"
#include "core/engine/omp_threads.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

constexpr int64_t kGates = 3;
// Inputs are added in pairs, from the first of a block on: so far apart none is of another's.
constexpr int64_t kApart = 2;
constexpr float kLarge = 1073741824.0F;  // 2^30
// Makes a sigmoid 0 or 1.
constexpr float kShut = 100.0F;

enum class Inputs { kLayer, kIter };

// Finds the blocks of one of the two products by the candidates of a step whose reset gate is
// open and whose update gate is shut. Each unit looks at one place.
class BlockProbe {
 public:
  BlockProbe(const GruLayerShape& shape, const Bucket& bucket, Inputs inputs)
      : shape_(shape),
        bucket_(bucket),
        inputs_(inputs),
        count_(inputs == Inputs::kLayer ? shape.input_size : shape.hidden_size) {}

  absl::StatusOr<std::vector<int64_t>> Run() {
    std::vector<int64_t> blocks;
    int64_t begin = 0;
    const int64_t places = std::max(int64_t{0}, count_ - 2 * kApart);
    for (int64_t first = 0; first < places; first += shape_.hidden_size) {
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer candidates, Candidates(first));
      for (int64_t unit = 0; unit < shape_.hidden_size; ++unit) {
        const int64_t place = first + unit;
        // The end of a block is seen from the two places before it.
        if (place >= places || place < begin || candidates.data()[unit] > 0) continue;
        blocks.push_back(place + kApart - begin);
        begin = place + kApart;
      }
    }
    blocks.push_back(count_ - begin);
    return blocks;
  }

 private:
  // tanh(1), or 0 where a block ends between unit u's places first + u and first + u + 2.
  absl::StatusOr<AlignedBuffer> Candidates(int64_t first) const {
    const int64_t rows = bucket_.batch_size;
    const int64_t hidden = shape_.hidden_size;
    GRUSERVE_ASSIGN_OR_RETURN(const GruLayerWeights weights, LayOutWeights(shape_, Weights(first)));
    GRUSERVE_ASSIGN_OR_RETURN(LayerKernel kernel, LayerKernel::Create(shape_, bucket_));
    Scratchpad scratchpad(kernel.scratchpad_bytes());
    AlignedBuffer src_layer(rows * shape_.input_size);
    AlignedBuffer src_iter(rows * hidden);
    AlignedBuffer dst_layer(rows * hidden);
    std::ranges::fill((inputs_ == Inputs::kLayer ? src_layer : src_iter).span(), 1.0F);
    GRUSERVE_RETURN_IF_ERROR(kernel.Run({.weights = &weights,
                                         .src_layer = src_layer.data(),
                                         .src_iter = src_iter.data(),
                                         .dst_layer = dst_layer.data(),
                                         .scratchpad = scratchpad.data()}));
    return dst_layer;
  }

  GruLayerWeights Weights(int64_t first) const {
    const int64_t hidden = shape_.hidden_size;
    GruLayerWeights weights = {.input_size = shape_.input_size,
                               .hidden_size = hidden,
                               .weights_layer = AlignedBuffer(shape_.input_size * kGates * hidden),
                               .weights_iter = AlignedBuffer(hidden * kGates * hidden),
                               .bias = AlignedBuffer((kGates + 1) * hidden)};
    float* const matrix =
        (inputs_ == Inputs::kLayer ? weights.weights_layer : weights.weights_iter).data() + 2 * hidden;
    for (int64_t unit = 0; unit < hidden; ++unit) {
      weights.bias.data()[unit] = -kShut;
      weights.bias.data()[hidden + unit] = kShut;
      int64_t place = first + unit;
      for (const float weight : {kLarge, -kLarge, 1.0F}) {
        if (place < count_) matrix[place * kGates * hidden + unit] = weight;
        place += kApart;
      }
    }
    return weights;
  }

  const GruLayerShape shape_;
  const Bucket bucket_;
  const Inputs inputs_;
  const int64_t count_;
};

}  // namespace

absl::StatusOr<SummationOrder> FindSummationOrder(const GruLayerShape& shape,
                                                  std::span<const Bucket> buckets) {
  SummationOrder order = {.lone_row_block = LoneRowBlock(buckets), .layer_blocks = {}, .iter_blocks = {}};
  if (shape.dtype == ComputeDtype::kF32) return order;
  const Bucket* smallest = nullptr;
  for (const Bucket& bucket : buckets) {
    if (bucket.time_steps > 1) continue;
    if (smallest == nullptr || bucket.batch_size < smallest->batch_size) smallest = &bucket;
  }
  const SingleOmpThread single_thread;
  GRUSERVE_ASSIGN_OR_RETURN(order.layer_blocks, BlockProbe(shape, *smallest, Inputs::kLayer).Run());
  GRUSERVE_ASSIGN_OR_RETURN(order.iter_blocks, BlockProbe(shape, *smallest, Inputs::kIter).Run());
  return order;
}

}  // namespace gruserve

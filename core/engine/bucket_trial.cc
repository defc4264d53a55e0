#include "core/engine/bucket_trial.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/gru_primitive.h"
#include "core/engine/omp_threads.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxRows = 64;
constexpr int64_t kStepBatches[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64};
constexpr int64_t kSliceBatches[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64};
constexpr int64_t kSliceSteps[] = {2, 4, 8, 16, 32, 64, 128};
constexpr double kMaxSliceFlops = 1e9;
constexpr int64_t kMaxSliceRows = 4096;  // Time steps times batch.
constexpr int64_t kInputRows = 257;      // Random input rows, used in turn.

bool SliceFits(const GruLayerShape& shape, int64_t rows) {
  const double flops_a_row = 6.0 * static_cast<double>(shape.input_size + shape.hidden_size) *
                             static_cast<double>(shape.hidden_size);
  return rows <= kMaxSliceRows && static_cast<double>(rows) * flops_a_row <= kMaxSliceFlops;
}

AlignedBuffer RandomBuffer(std::mt19937& random, int64_t size, float bound) {
  AlignedBuffer buffer(size);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  for (float& value : buffer.span()) value = uniform(random);
  return buffer;
}

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

class BucketTrial {
 public:
  explicit BucketTrial(const GruLayerShape& shape)
      : shape_(shape),
        weights_(MakeWeights(random_, shape)),
        inputs_(RandomBuffer(random_, kInputRows * shape.input_size, 1.0F)),
        states_(RandomBuffer(random_, kMaxRows * shape.hidden_size, 1.0F)) {}

  absl::StatusOr<std::vector<Bucket>> Run() {
    GRUSERVE_RETURN_IF_ERROR(TryStepBuckets());
    for (const int64_t batch_size : kSliceBatches) GRUSERVE_RETURN_IF_ERROR(TrySlices(batch_size));
    return std::move(equal_);
  }

 private:
  static GruLayerWeights MakeWeights(std::mt19937& random, const GruLayerShape& shape) {
    const auto [cell_kind, input, hidden] = shape;
    const float bound = 1.0F / std::sqrt(static_cast<float>(hidden));
    return {.input_size = input,
            .hidden_size = hidden,
            .weights_layer = RandomBuffer(random, input * 3 * hidden, bound),
            .weights_iter = RandomBuffer(random, hidden * 3 * hidden, bound),
            .bias = RandomBuffer(random, 4 * hidden, bound)};
  }

  // What row `row` reads at time `time`.
  const float* Input(int64_t time, int64_t row) const {
    return inputs_.data() + (time * kMaxRows + row) % kInputRows * shape_.input_size;
  }

  // Runs `bucket` from `state` [N, H] on the inputs from `time` on; its row i is
  // row `row_of(i)` of the trial.
  template <typename RowOf>
  absl::StatusOr<AlignedBuffer> RunBucket(const Bucket& bucket, int64_t time, const AlignedBuffer& state,
                                          RowOf row_of) {
    GRUSERVE_ASSIGN_OR_RETURN(GruPrimitive primitive, GruPrimitive::Create(shape_, bucket));
    return RunPrimitive(primitive, bucket, time, state, row_of);
  }

  template <typename RowOf>
  absl::StatusOr<AlignedBuffer> RunPrimitive(GruPrimitive& primitive, const Bucket& bucket, int64_t time,
                                             const AlignedBuffer& state, RowOf row_of) {
    const auto [steps, batch] = bucket;
    AlignedBuffer src(steps * batch * shape_.input_size);
    for (int64_t t = 0; t < steps; ++t) {
      for (int64_t i = 0; i < batch; ++i) {
        std::memcpy(src.data() + (t * batch + i) * shape_.input_size, Input(time + t, row_of(i)),
                    FloatBytes(shape_.input_size));
      }
    }
    AlignedBuffer dst(steps * batch * shape_.hidden_size);
    const int64_t scratch_size = primitive.scratchpad_bytes() / static_cast<int64_t>(sizeof(float)) + 1;
    if (scratchpad_.size() < scratch_size) scratchpad_ = AlignedBuffer(scratch_size);
    GRUSERVE_RETURN_IF_ERROR(primitive.Run({.weights = &weights_,
                                            .src_layer = src.data(),
                                            .src_iter = state.data(),
                                            .dst_layer = dst.data(),
                                            .scratchpad = scratchpad_.data()}));
    return dst;
  }

  // Each row's first step by (1, 2), once in either place.
  absl::StatusOr<AlignedBuffer> StepInPairs() {
    const int64_t hidden = shape_.hidden_size;
    AlignedBuffer expected(kMaxRows * hidden);
    AlignedBuffer pair(2 * hidden);
    GRUSERVE_ASSIGN_OR_RETURN(GruPrimitive primitive, GruPrimitive::Create(shape_, {1, 2}));
    for (int64_t row = 0; row < kMaxRows; ++row) {
      const float* const state = states_.data() + row * hidden;
      std::memcpy(pair.data(), state, FloatBytes(hidden));
      std::memcpy(pair.data() + hidden, state, FloatBytes(hidden));
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst,
                                RunPrimitive(primitive, {1, 2}, 0, pair, [row](int64_t) { return row; }));
      if (std::memcmp(dst.data(), dst.data() + hidden, FloatBytes(hidden)) != 0) {
        return absl::InternalError(absl::StrCat("oneDNN's GRU of input_size ", shape_.input_size,
                                                " and hidden_size ", hidden,
                                                " gives two equal rows different bits"));
      }
      std::memcpy(expected.data() + row * hidden, dst.data(), FloatBytes(hidden));
    }
    return expected;
  }

  absl::Status TryStepBuckets() {
    GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer expected, StepInPairs());
    for (const int64_t batch : kStepBatches) {
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst,
                                RunBucket({1, batch}, 0, states_, [](int64_t row) { return row; }));
      if (std::memcmp(dst.data(), expected.data(), FloatBytes(dst.size())) == 0) equal_.push_back({1, batch});
    }
    if (std::find(equal_.begin(), equal_.end(), Bucket{1, 2}) == equal_.end()) {
      return absl::InternalError("oneDNN gives the same pair of rows different bits in two runs");
    }
    return absl::OkStatus();
  }

  // All steps of the longest slice for `batch` rows, by calls of one step each.
  absl::StatusOr<AlignedBuffer> ChainSteps(int64_t time_steps, int64_t batch) {
    const int64_t hidden = shape_.hidden_size;
    const auto step = std::find_if(equal_.begin(), equal_.end(), [batch](const Bucket& bucket) {
      return bucket.time_steps == 1 && bucket.batch_size >= batch;
    });
    GRUSERVE_ASSIGN_OR_RETURN(GruPrimitive primitive, GruPrimitive::Create(shape_, *step));
    AlignedBuffer expected(time_steps * batch * hidden);
    AlignedBuffer state(step->batch_size * hidden);
    std::memcpy(state.data(), states_.data(), FloatBytes(state.size()));
    for (int64_t t = 0; t < time_steps; ++t) {
      GRUSERVE_ASSIGN_OR_RETURN(state,
                                RunPrimitive(primitive, *step, t, state, [](int64_t row) { return row; }));
      std::memcpy(expected.data() + t * batch * hidden, state.data(), FloatBytes(batch * hidden));
    }
    return expected;
  }

  absl::Status TrySlices(int64_t batch) {
    int64_t longest = 0;
    for (const int64_t steps : kSliceSteps) {
      if (SliceFits(shape_, steps * batch)) longest = steps;
    }
    if (longest == 0 || !CanStep(batch)) return absl::OkStatus();
    GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer expected, ChainSteps(longest, batch));
    for (const int64_t steps : kSliceSteps) {
      if (steps > longest) break;
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst,
                                RunBucket({steps, batch}, 0, states_, [](int64_t row) { return row; }));
      if (std::memcmp(dst.data(), expected.data(), FloatBytes(dst.size())) == 0)
        equal_.push_back({steps, batch});
    }
    return absl::OkStatus();
  }

  // Whether some kept bucket can step `batch` rows.
  bool CanStep(int64_t batch) const {
    return std::any_of(equal_.begin(), equal_.end(),
                       [batch](const Bucket& bucket) { return bucket.batch_size >= batch; });
  }

  const GruLayerShape shape_;
  std::mt19937 random_;  // The default seed: the same trial everywhere.
  const GruLayerWeights weights_;
  const AlignedBuffer inputs_;
  const AlignedBuffer states_;
  AlignedBuffer scratchpad_;
  std::vector<Bucket> equal_;
};

}  // namespace

absl::StatusOr<std::vector<Bucket>> FindEqualBuckets(const GruLayerShape& shape) {
  const SingleOmpThread single_thread;
  // Before memory is spent on a shape that oneDNN refuses.
  GRUSERVE_RETURN_IF_ERROR(GruPrimitive::Create(shape, {1, 2}).status());
  return BucketTrial(shape).Run();
}

}  // namespace gruserve

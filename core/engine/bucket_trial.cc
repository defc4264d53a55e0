#include "core/engine/bucket_trial.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/aligned_buffer.h"
#include "core/base/bf16.h"
#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/engine/gru_layer_weights.h"
#include "core/engine/gru_primitive.h"
#include "core/engine/layer_kernel.h"
#include "core/engine/lone_row.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

constexpr int64_t kMaxRows = 64;
constexpr int64_t kStepBatches[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64};
constexpr int64_t kSliceBatches[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64};
constexpr int64_t kSliceSteps[] = {2, 4, 8, 16, 32, 64, 128};
constexpr double kMaxSliceFlops = 1e9;
// Batches that may set the bits which others must equal, best first: where tails
// of a batch run in a kernel of their own (AVX2), a pair equals nothing else.
constexpr int64_t kReferenceBatches[] = {2, 4, 8, 16};
// Blocks in which oneDNN's products of several rows may add up their inputs, by
// instruction set.
constexpr int64_t kLoneRowBlocks[] = {384, 256, 192, 512, 768};
constexpr int64_t kInputRows = 257;  // Random input rows, used in turn.
// Values to compare for each bucket: in a tiny layer another order of adding
// shows in one value of hundreds only, and rounding to bf16 hides it in all but
// one of ten thousands.
constexpr int64_t kValuesCompared = 8192;
constexpr int64_t kBf16ValuesCompared = 65536;
// How far a step in bf16 may be from the same in f32: rounding an output takes 1/512 at most.
constexpr float kBf16Tolerance = 1.0F / 128;
constexpr int64_t kMaxRounds = 256;  // Of drawing numbers: enough for the tiniest layers.

bool SliceFits(const GruLayerShape& shape, int64_t rows) {
  const double flops_a_row = 6.0 * static_cast<double>(shape.input_size + shape.hidden_size) *
                             static_cast<double>(shape.hidden_size);
  return rows <= Bucket::kMaxRows && static_cast<double>(rows) * flops_a_row <= kMaxSliceFlops;
}

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

struct Candidate {
  Bucket bucket;
  LayerKernel kernel;
  bool equal = true;
};

// The trial's row that each place of a batch holds: first + place * stride.
struct Places {
  int64_t first = 0;
  int64_t stride = 1;
};

class BucketTrial {
 public:
  explicit BucketTrial(const GruLayerShape& shape)
      : shape_(shape),
        values_compared_(shape.dtype == ComputeDtype::kBf16 ? kBf16ValuesCompared : kValuesCompared) {}

  absl::StatusOr<std::vector<Bucket>> Run() {
    std::mt19937 same_numbers = random_;
    GRUSERVE_ASSIGN_OR_RETURN(weights_, LayOutWeights(shape_, DrawWeights(random_)));
    GRUSERVE_RETURN_IF_ERROR(ChooseSteps());
    if (shape_.dtype == ComputeDtype::kBf16) {
      GRUSERVE_RETURN_IF_ERROR(CompareWithF32(DrawWeights(same_numbers)));
    }
    GRUSERVE_RETURN_IF_ERROR(TryLoneRow());
    for (const Candidate& step : steps_) {
      if (step.equal) equal_.push_back(step.bucket);
    }
    const int64_t max_batch = equal_.back().batch_size;
    for (const int64_t batch : kSliceBatches) {
      if (batch <= max_batch) GRUSERVE_RETURN_IF_ERROR(TrySlices(batch));
    }
    return std::move(equal_);
  }

 private:
  GruLayerWeights DrawWeights(std::mt19937& random) const {
    const float bound = 1.0F / std::sqrt(static_cast<float>(shape_.hidden_size));
    return RandomWeights(random, shape_.input_size, shape_.hidden_size, bound);
  }

  void DrawNumbers() {
    inputs_ = RandomBuffer(random_, kInputRows * shape_.input_size, 1.0F);
    states_ = RandomBuffer(random_, kMaxRows * shape_.hidden_size, 1.0F);
  }

  // Draws of numbers that make values_compared_ where one draw gives `rows` rows.
  int64_t Rounds(int64_t rows) const {
    const int64_t values = rows * shape_.hidden_size;
    return std::min(CeilDivide(values_compared_, values), kMaxRounds);
  }

  // Adds nothing where the bucket cannot share the weights of the others.
  absl::Status AddCandidate(const Bucket& bucket, std::vector<Candidate>& candidates) {
    absl::StatusOr<LayerKernel> kernel = LayerKernel::Create(shape_, bucket);
    if (absl::IsFailedPrecondition(kernel.status())) return absl::OkStatus();
    GRUSERVE_RETURN_IF_ERROR(kernel.status());
    if (scratchpad_.bytes() < kernel->scratchpad_bytes())
      scratchpad_ = Scratchpad(kernel->scratchpad_bytes());
    candidates.push_back(Candidate{.bucket = bucket, .kernel = *std::move(kernel)});
    return absl::OkStatus();
  }

  // Runs a bucket on the inputs from `time` on; a row's state lies at its index
  // in `states`.
  absl::StatusOr<AlignedBuffer> RunBucket(Candidate& candidate, const Places& places, int64_t time,
                                          const float* states) {
    const int64_t steps = candidate.bucket.time_steps;
    const int64_t batch = candidate.bucket.batch_size;
    const int64_t input = shape_.input_size;
    const int64_t hidden = shape_.hidden_size;
    AlignedBuffer src_layer(steps * batch * input);
    AlignedBuffer src_iter(batch * hidden);
    for (int64_t i = 0; i < batch; ++i) {
      const int64_t row = places.first + i * places.stride;
      std::memcpy(src_iter.data() + i * hidden, states + row * hidden, FloatBytes(hidden));
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t input_row = ((time + t) * kMaxRows + row) % kInputRows;
        std::memcpy(src_layer.data() + (t * batch + i) * input, inputs_.data() + input_row * input,
                    FloatBytes(input));
      }
    }
    AlignedBuffer dst_layer(steps * batch * hidden);
    GRUSERVE_RETURN_IF_ERROR(candidate.kernel.Run({.weights = &weights_,
                                                   .src_layer = src_layer.data(),
                                                   .src_iter = src_iter.data(),
                                                   .dst_layer = dst_layer.data(),
                                                   .scratchpad = scratchpad_.data()}));
    return dst_layer;
  }

  // Finds the steps that are equal to each other. Prefers those that reach the
  // largest batch, and among these a small reference.
  absl::Status ChooseSteps() {
    for (const int64_t batch : kStepBatches) {
      GRUSERVE_RETURN_IF_ERROR(AddCandidate({1, batch}, steps_));
    }
    // Where each row's place matters in every reference, rows must run alone.
    std::vector<bool> best(steps_.size(), false);
    best.front() = steps_.front().bucket.batch_size == 1;
    for (const int64_t batch : kReferenceBatches) {
      GRUSERVE_RETURN_IF_ERROR(CompareSteps(batch));
      std::vector<bool> equal;
      for (const Candidate& step : steps_) equal.push_back(step.equal);
      const auto largest = [](const std::vector<bool>& kept) {
        return std::find(kept.rbegin(), kept.rend(), true);
      };
      if (largest(equal) - equal.rbegin() < largest(best) - best.rbegin()) best = equal;
      if (best.back()) break;
    }
    if (std::find(best.begin(), best.end(), true) == best.end())
      return absl::InternalError("no batch size gives a row the same bits in every place");
    for (size_t i = 0; i < steps_.size(); ++i) steps_[i].equal = best[i];
    return absl::OkStatus();
  }

  // Sets `equal` of each step: whether it equals the one of `reference_batch`;
  // of none, where that one's own rows differ by their place.
  absl::Status CompareSteps(int64_t reference_batch) {
    for (Candidate& step : steps_) step.equal = true;
    Candidate& reference = *std::find_if(steps_.begin(), steps_.end(), [&](const Candidate& step) {
      return step.bucket.batch_size == reference_batch;
    });
    for (int64_t round = 0; round < Rounds(kMaxRows); ++round) {
      DrawNumbers();
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer expected, StepInEveryPlace(reference));
      for (Candidate& step : steps_) {
        if (!step.equal) continue;
        GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst, RunBucket(step, {}, 0, states_.data()));
        step.equal =
            expected.size() > 0 && std::memcmp(dst.data(), expected.data(), FloatBytes(dst.size())) == 0;
      }
      if (!reference.equal) {
        for (Candidate& step : steps_) step.equal = false;
        break;
      }
    }
    return absl::OkStatus();
  }

  // Each row's first step, with the row in every place of `reference`; empty
  // where the place matters.
  absl::StatusOr<AlignedBuffer> StepInEveryPlace(Candidate& reference) {
    const int64_t hidden = shape_.hidden_size;
    AlignedBuffer expected(kMaxRows * hidden);
    for (int64_t row = 0; row < kMaxRows; ++row) {
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst,
                                RunBucket(reference, {.first = row, .stride = 0}, 0, states_.data()));
      for (int64_t place = 1; place < reference.bucket.batch_size; ++place) {
        if (std::memcmp(dst.data(), dst.data() + place * hidden, FloatBytes(hidden)) != 0)
          return AlignedBuffer();
      }
      std::memcpy(expected.data() + row * hidden, dst.data(), FloatBytes(hidden));
    }
    return expected;
  }

  // Equal bits may be equally wrong: steps in bf16, of numbers that it holds, against those
  // of f32. `weights`: the trial's, plain.
  absl::Status CompareWithF32(GruLayerWeights weights) {
    GruLayerShape shape = shape_;
    shape.dtype = ComputeDtype::kF32;
    DrawNumbers();
    for (AlignedBuffer* const numbers : {&weights.weights_layer, &weights.weights_iter, &inputs_, &states_}) {
      RoundInBf16(numbers->data(), numbers->size(), numbers->data());
    }
    GRUSERVE_ASSIGN_OR_RETURN(weights, LayOutWeights(shape, std::move(weights)));
    GRUSERVE_ASSIGN_OR_RETURN(LayerKernel kernel, LayerKernel::Create(shape, {1, kMaxRows}));
    Scratchpad scratchpad(kernel.scratchpad_bytes());
    AlignedBuffer exact(kMaxRows * shape.hidden_size);
    GRUSERVE_RETURN_IF_ERROR(kernel.Run({.weights = &weights,
                                         .src_layer = inputs_.data(),
                                         .src_iter = states_.data(),
                                         .dst_layer = exact.data(),
                                         .scratchpad = scratchpad.data()}));
    Candidate& step = *std::find_if(steps_.begin(), steps_.end(),
                                    [](const Candidate& candidate) { return candidate.equal; });
    const int64_t batch = step.bucket.batch_size;
    AlignedBuffer rounded(exact.size());
    for (int64_t row = 0; row + batch <= kMaxRows; row += batch) {
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst, RunBucket(step, {.first = row}, 0, states_.data()));
      std::memcpy(rounded.data() + row * shape.hidden_size, dst.data(), FloatBytes(dst.size()));
    }
    const auto computed = static_cast<size_t>(kMaxRows / batch * batch * shape.hidden_size);
    return CheckBf16Step(shape, exact.span().first(computed), rounded.span().first(computed));
  }

  // Where the primitive of one row is not equal to the others, products may be.
  absl::Status TryLoneRow() {
    if (!LoneRow::Fits(shape_) || (steps_.front().bucket.batch_size == 1 && steps_.front().equal)) {
      return absl::OkStatus();
    }
    std::erase_if(steps_, [](const Candidate& step) { return step.bucket.batch_size == 1; });
    Candidate& reference =
        *std::find_if(steps_.begin(), steps_.end(), [](const Candidate& step) { return step.equal; });
    DrawNumbers();
    GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer expected, StepInEveryPlace(reference));
    for (const int64_t block : kLoneRowBlocks) {
      std::vector<Candidate> lone;
      GRUSERVE_RETURN_IF_ERROR(AddCandidate({1, 1, block}, lone));
      GRUSERVE_RETURN_IF_ERROR(CompareLoneRow(lone.front(), expected));
      if (!lone.front().equal) continue;
      steps_.insert(steps_.begin(), std::move(lone.front()));
      break;
    }
    return absl::OkStatus();
  }

  absl::Status CompareLoneRow(Candidate& lone, const AlignedBuffer& expected) {
    const int64_t hidden = shape_.hidden_size;
    lone.equal = expected.size() > 0;
    for (int64_t row = 0; lone.equal && row < kMaxRows; ++row) {
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst, RunBucket(lone, {.first = row}, 0, states_.data()));
      lone.equal = std::memcmp(dst.data(), expected.data() + row * hidden, FloatBytes(hidden)) == 0;
    }
    return absl::OkStatus();
  }

  // Compares the slices of `batch` rows with calls of one step each.
  absl::Status TrySlices(int64_t batch) {
    const int64_t lone_row_block = batch == 1 ? steps_.front().bucket.lone_row_block : 0;
    std::vector<Candidate> slices;
    for (const int64_t steps : kSliceSteps) {
      if (!SliceFits(shape_, steps * batch)) break;
      GRUSERVE_RETURN_IF_ERROR(AddCandidate({steps, batch, lone_row_block}, slices));
    }
    if (slices.empty()) return absl::OkStatus();
    const int64_t longest = slices.back().bucket.time_steps;
    for (int64_t round = 0; round < Rounds(longest * batch); ++round) {
      DrawNumbers();
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer expected, ChainSteps(longest, batch));
      for (Candidate& slice : slices) GRUSERVE_RETURN_IF_ERROR(CompareSlice(slice, longest, expected));
    }
    for (const Candidate& slice : slices) {
      if (slice.equal) equal_.push_back(slice.bucket);
    }
    return absl::OkStatus();
  }

  // [time_steps, batch, H] by calls of one step each.
  absl::StatusOr<AlignedBuffer> ChainSteps(int64_t time_steps, int64_t batch) {
    const int64_t size = batch * shape_.hidden_size;
    Candidate& step = *std::find_if(steps_.begin(), steps_.end(), [batch](const Candidate& candidate) {
      return candidate.equal && candidate.bucket.batch_size >= batch;
    });
    AlignedBuffer expected(time_steps * size);
    AlignedBuffer state;
    for (int64_t t = 0; t < time_steps; ++t) {
      GRUSERVE_ASSIGN_OR_RETURN(state, RunBucket(step, {}, t, t == 0 ? states_.data() : state.data()));
      std::memcpy(expected.data() + t * size, state.data(), FloatBytes(size));
    }
    return expected;
  }

  // Runs a slice again and again along the chain, until enough is compared.
  absl::Status CompareSlice(Candidate& slice, int64_t time_steps, const AlignedBuffer& expected) {
    const int64_t steps = slice.bucket.time_steps;
    const int64_t batch = slice.bucket.batch_size;
    const int64_t size = batch * shape_.hidden_size;
    for (int64_t t = 0; slice.equal && t < time_steps && t * size < values_compared_; t += steps) {
      const float* const states = t == 0 ? states_.data() : expected.data() + (t - 1) * size;
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer dst, RunBucket(slice, {}, t, states));
      slice.equal = std::memcmp(dst.data(), expected.data() + t * size, FloatBytes(dst.size())) == 0;
    }
    return absl::OkStatus();
  }

  const GruLayerShape shape_;
  const int64_t values_compared_;
  std::mt19937 random_;  // The default seed: the same trial everywhere.
  GruLayerWeights weights_;
  AlignedBuffer inputs_;
  AlignedBuffer states_;
  Scratchpad scratchpad_;
  std::vector<Candidate> steps_;  // All of one step, smallest batch first.
  std::vector<Bucket> equal_;
};

}  // namespace

absl::Status CheckBf16Step(const GruLayerShape& shape, std::span<const float> exact,
                           std::span<const float> rounded) {
  for (size_t i = 0; i < exact.size(); ++i) {
    if (std::abs(rounded[i] - exact[i]) <= kBf16Tolerance) continue;
    return absl::InternalError(absl::StrCat("oneDNN computes bf16 wrongly here: a step of input_size ",
                                            shape.input_size, ", hidden_size ", shape.hidden_size, " gave ",
                                            rounded[i], ", expected ", exact[i], " within ", kBf16Tolerance,
                                            "; serve the model with compute_dtype f32"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Bucket>> FindEqualBuckets(const GruLayerShape& shape) {
  const SingleOmpThread single_thread;
  // Before memory is spent on a shape that oneDNN refuses.
  GRUSERVE_RETURN_IF_ERROR(GruPrimitive::Create(shape, {1, 2}).status());
  return BucketTrial(shape).Run();
}

}  // namespace gruserve

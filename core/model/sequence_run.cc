#include "core/model/sequence_run.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/replica.h"

namespace gruserve {
namespace {

void CopyFloats(float* target, const float* source, int64_t count) {
  std::memcpy(target, source, static_cast<size_t>(count) * sizeof(float));
}

void ZeroFloats(float* target, int64_t count) {
  std::memset(target, 0, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

SequenceRun::SequenceRun(std::shared_ptr<const Model> model, const SequenceCall& call)
    : model_(std::move(model)),
      config_(model_->config()),
      call_(call),
      order_(static_cast<size_t>(call.batch_size)) {
  if (call_.time_steps == 0 || call_.batch_size == 0) {
    first_row_ = call_.batch_size;
    return;
  }
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(),
                   [this](int64_t a, int64_t b) { return length(a) > length(b); });
  group_size_ = std::min(model_->buckets().max_batch_size(), call_.batch_size);
  AllocateSlabs();
  if (config_.num_directions > 1 && config_.num_layers > 1) AllocateBetweenLayers();
}

void SequenceRun::AllocateSlabs() {
  const BucketSet& buckets = model_->buckets();
  const int64_t longest = std::min(group_length(0), BucketSet::kMaxTimeSteps);
  int64_t slab_rows = 0;
  for (int64_t steps = 1; steps <= longest; steps *= 2) {
    for (int64_t rows = 1; rows <= group_size_; ++rows) {
      const Bucket& bucket = buckets.buckets()[buckets.Pick(steps, rows)];
      slab_rows = std::max(slab_rows, bucket.time_steps * bucket.batch_size);
      state_rows_ = std::max(state_rows_, bucket.batch_size);
    }
  }
  const bool layers_by_turns = config_.num_layers > 1 && config_.num_directions == 1;
  const bool gathers_layers = config_.num_layers > 1 && config_.num_directions > 1;
  const int64_t widest =
      gathers_layers ? std::max(config_.input_size, config_.output_size()) : config_.input_size;
  states_ = AlignedBuffer(config_.state_blocks() * state_rows_ * config_.hidden_size);
  src_ = AlignedBuffer(slab_rows * widest);
  dst_[0] = AlignedBuffer(slab_rows * config_.hidden_size);
  if (layers_by_turns) dst_[1] = AlignedBuffer(slab_rows * config_.hidden_size);
}

// The first group is the longest: its memory serves all.
void SequenceRun::AllocateBetweenLayers() {
  int64_t steps = 0;
  for (int64_t i = 0; i < group_size_; ++i) steps += group_length(i);
  const int64_t buffers = config_.num_layers > 2 ? 2 : 1;
  const int64_t size = steps * config_.output_size();
  const int64_t bytes = buffers * size * static_cast<int64_t>(sizeof(float));
  if (bytes > kMaxBytesBetweenLayers) {
    status_ = absl::ResourceExhaustedError(
        absl::StrCat("a call of time_steps ", call_.time_steps, ", batch_size ", call_.batch_size, " keeps ",
                     bytes, " bytes between the layers, the limit is ", kMaxBytesBetweenLayers));
    return;
  }
  for (int64_t i = 0; i < buffers; ++i) between_layers_[static_cast<size_t>(i)] = AlignedBuffer(size);
  between_offsets_.resize(static_cast<size_t>(group_size_));
}

absl::Status SequenceRun::Advance(Replica& replica) {
  assert(!done());
  GRUSERVE_RETURN_IF_ERROR(status_);
  if (layer_ == 0 && direction_ == 0 && time_ == 0) BeginGroup();
  if (layer_ == 0 || config_.num_directions > 1) PickSlice();
  const float* const src = GatherInput();
  float* const dst = dst_[config_.num_directions == 1 ? static_cast<size_t>(layer_ % 2) : 0].data();
  GRUSERVE_RETURN_IF_ERROR(replica.RunLayer(layer_, direction_, bucket_index_, src, StateBlock(), dst));
  KeepStates(dst);
  if (KeepsOutput()) ScatterOutput(dst);
  MoveOn();
  return absl::OkStatus();
}

void SequenceRun::BeginGroup() {
  group_size_ = std::min(model_->buckets().max_batch_size(), call_.batch_size - first_row_);
  const int64_t hidden = config_.hidden_size;
  int64_t offset = 0;
  for (int64_t i = 0; i < group_size_; ++i) {
    const int64_t row = group_row(i);
    const float* const state = call_.states[static_cast<size_t>(row)];
    for (int64_t block = 0; block < config_.state_blocks(); ++block) {
      CopyFloats(states_.data() + (block * state_rows_ + i) * hidden, state + block * hidden, hidden);
    }
    if (!between_offsets_.empty()) between_offsets_[static_cast<size_t>(i)] = offset;
    offset += length(row);
    if (call_.output == nullptr || call_.last_output_only) continue;
    for (int64_t t = length(row); t < call_.time_steps; ++t) {
      ZeroFloats(call_.output + t * call_.output_time_stride + row * call_.output_batch_stride,
                 config_.output_size());
    }
  }
}

void SequenceRun::EndGroup() {
  const int64_t hidden = config_.hidden_size;
  for (int64_t i = 0; i < group_size_; ++i) {
    float* const state = call_.states[static_cast<size_t>(group_row(i))];
    for (int64_t block = 0; block < config_.state_blocks(); ++block) {
      CopyFloats(state + block * hidden, states_.data() + (block * state_rows_ + i) * hidden, hidden);
    }
  }
  first_row_ += group_size_;
}

// As many steps as all active rows still have.
void SequenceRun::PickSlice() {
  if (time_ == 0) active_rows_ = group_size_;
  while (group_length(active_rows_ - 1) <= time_) --active_rows_;
  const BucketSet& buckets = model_->buckets();
  bucket_index_ = buckets.Pick(group_length(active_rows_ - 1) - time_, active_rows_);
  bucket_ = buckets.buckets()[bucket_index_];
}

const float* SequenceRun::GatherInput() {
  if (layer_ > 0 && config_.num_directions == 1) return dst_[static_cast<size_t>((layer_ - 1) % 2)].data();
  const int64_t width = config_.layer_input_size(layer_);
  float* target = src_.data();
  for (int64_t t = time_; t < time_ + bucket_.time_steps; ++t) {
    for (int64_t i = 0; i < active_rows_; ++i, target += width) CopyFloats(target, InputRow(i, t), width);
    const int64_t padding = (bucket_.batch_size - active_rows_) * width;
    ZeroFloats(target, padding);
    target += padding;
  }
  return src_.data();
}

const float* SequenceRun::InputRow(int64_t i, int64_t t) const {
  const int64_t time = TimeOf(i, t);
  if (layer_ == 0) {
    return call_.input + time * call_.input_time_stride + group_row(i) * call_.input_batch_stride;
  }
  return between_layers_[static_cast<size_t>((layer_ - 1) % 2)].data() +
         (between_offsets_[static_cast<size_t>(i)] + time) * config_.output_size();
}

// Whether this layer's output goes somewhere else than to the next layer at once.
bool SequenceRun::KeepsOutput() const {
  return layer_ == config_.num_layers - 1 ? call_.output != nullptr : config_.num_directions > 1;
}

// Where the output of row i at step t goes, or null. REQUIRES: KeepsOutput().
float* SequenceRun::OutputRow(int64_t i, int64_t t) {
  const int64_t time = TimeOf(i, t);
  const int64_t half = direction_ * config_.hidden_size;
  if (layer_ < config_.num_layers - 1) {
    return between_layers_[static_cast<size_t>(layer_ % 2)].data() +
           (between_offsets_[static_cast<size_t>(i)] + time) * config_.output_size() + half;
  }
  float* const row = call_.output + group_row(i) * call_.output_batch_stride + half;
  if (!call_.last_output_only) return row + time * call_.output_time_stride;
  return time == group_length(i) - 1 ? row : nullptr;
}

void SequenceRun::ScatterOutput(const float* dst) {
  const int64_t hidden = config_.hidden_size;
  for (int64_t t = 0; t < bucket_.time_steps; ++t) {
    for (int64_t i = 0; i < active_rows_; ++i) {
      float* const target = OutputRow(i, time_ + t);
      if (target != nullptr) CopyFloats(target, dst + (t * bucket_.batch_size + i) * hidden, hidden);
    }
  }
}

float* SequenceRun::StateBlock() {
  const int64_t block = layer_ * config_.num_directions + direction_;
  return states_.data() + block * state_rows_ * config_.hidden_size;
}

void SequenceRun::KeepStates(const float* dst) {
  const int64_t hidden = config_.hidden_size;
  const float* const last = dst + (bucket_.time_steps - 1) * bucket_.batch_size * hidden;
  CopyFloats(StateBlock(), last, active_rows_ * hidden);
}

void SequenceRun::MoveOn() {
  const auto next_time = [this] {
    time_ += bucket_.time_steps;
    if (time_ < group_length(0)) return true;
    time_ = 0;
    return false;
  };
  const auto next_layer = [this] {
    if (++layer_ < config_.num_layers) return true;
    layer_ = 0;
    return false;
  };
  if (config_.num_directions == 1) {
    if (next_layer() || next_time()) return;
  } else {
    if (next_time()) return;
    direction_ = 1 - direction_;
    if (direction_ == 1 || next_layer()) return;
  }
  EndGroup();
}

}  // namespace gruserve

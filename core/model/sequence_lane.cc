#include "core/model/sequence_lane.h"

#include <algorithm>
#include <cstring>

#include "core/base/rounding.h"
#include "core/base/status_macros.h"
#include "core/model/replica.h"

namespace gruserve {
namespace {

constexpr int64_t kFloatsAligned = AlignedBuffer::kAlignment / sizeof(float);

void CopyFloats(float* target, const float* source, int64_t count) {
  std::memcpy(target, source, static_cast<size_t>(count) * sizeof(float));
}

void ZeroFloats(float* target, int64_t count) {
  std::memset(target, 0, static_cast<size_t>(count) * sizeof(float));
}

int64_t TotalSteps(const SequenceCall& call, std::span<const int64_t> rows) {
  int64_t steps = 0;
  for (const int64_t row : rows) steps += call.length(row);
  return steps;
}

int64_t WholeLayers(const GruConfig& config, const SequenceSplit& split) {
  return split.layer_by_layer ? std::min<int64_t>(config.num_layers - 1, 2) : 0;
}

}  // namespace

int64_t SequenceLane::BytesBetweenLayers(const Model& model, const SequenceCall& call,
                                         const SequenceSplit& split) {
  return WholeLayers(model.config(), split) * TotalSteps(call, split.group(0)) *
         model.config().output_size() * static_cast<int64_t>(sizeof(float));
}

SequenceLane::SequenceLane(const Model& model, const SequenceCall& call, const SequenceSplit& split)
    : model_(model),
      config_(model.config()),
      call_(call),
      slices_between_(split.slices_between),
      layer_by_layer_(split.layer_by_layer) {
  Begin(split.group(0));
  AllocateStates(split);
  if (config_.num_layers > 1) AllocateBetweenLayers(split);
}

// Room for whatever bucket a slice of this split may take.
void SequenceLane::AllocateStates(const SequenceSplit& split) {
  const BucketSet& buckets = model_.buckets();
  int64_t state_rows = 0;
  int64_t slab_rows = 0;
  for (int64_t steps = 1; steps <= std::min(split.max_slice_steps, length(0)); steps *= 2) {
    for (int64_t rows = 1; rows <= num_rows(); ++rows) {
      const Bucket& bucket = buckets.buckets()[buckets.Pick(steps, rows)];
      state_rows = std::max(state_rows, bucket.batch_size);
      slab_rows = std::max(slab_rows, bucket.time_steps * bucket.batch_size);
    }
  }
  // Each block begins on a boundary, as it did in the trial of the buckets.
  block_size_ = RoundUp(state_rows * config_.hidden_size, kFloatsAligned);
  states_ = AlignedBuffer(config_.state_blocks() * block_size_);
  if (layer_by_layer_) return;
  for (int64_t i = 0; i < (config_.num_layers - 1) * slices_between_; ++i) {
    ring_.emplace_back(slab_rows * config_.hidden_size);
  }
}

void SequenceLane::AllocateBetweenLayers(const SequenceSplit& split) {
  const int64_t size = TotalSteps(call_, split.group(0)) * config_.output_size();
  for (int64_t i = 0; i < WholeLayers(config_, split); ++i)
    whole_layers_[static_cast<size_t>(i)] = AlignedBuffer(size);
}

void SequenceLane::Begin(std::span<const int64_t> rows) {
  rows_ = rows;
  places_.clear();
  for (const int64_t row : rows) places_.push_back(call_.row(row));
  row_offsets_.clear();
  int64_t offset = 0;
  for (int64_t i = 0; i < num_rows(); ++i) {
    row_offsets_.push_back(offset);
    offset += length(i);
  }
}

absl::Status SequenceLane::Run(const SequenceSlice& slice, Replica& replica) {
  Begin(slice);
  const float* const src = slice.layer > 0 && !layer_by_layer_ ? Between(slice.layer - 1, slice.index).data()
                                                               : Gather(slice, replica.sequence_input());
  float* const dst =
      feeds_next_layer(slice.layer) ? Between(slice.layer, slice.index).data() : replica.sequence_output();
  GRUSERVE_RETURN_IF_ERROR(
      replica.RunLayer(slice.layer, slice.direction, slice.bucket_index, src, StateBlock(slice), dst));
  Conclude(slice, dst);
  return absl::OkStatus();
}

void SequenceLane::Open(const SequenceSlice& slice) {
  Begin(slice);
  Gather(slice, slice.columns->input());
  CopyFloats(slice.columns->state(), StateBlock(slice), slice.bucket.batch_size * config_.hidden_size);
  slice.columns->Open();
}

absl::Status SequenceLane::Close(const SequenceSlice& slice) {
  GRUSERVE_RETURN_IF_ERROR(slice.columns->status(slice.part));
  Conclude(slice, slice.columns->output(slice.part));
  return absl::OkStatus();
}

void SequenceLane::Begin(const SequenceSlice& slice) {
  if (slice.index > 0) return;
  LoadStates(slice);
  if (slice.layer == config_.num_layers - 1) ZeroPastTheEnds(slice);
}

void SequenceLane::Conclude(const SequenceSlice& slice, const float* dst) {
  const Bucket& bucket = slice.bucket;
  CopyFloats(StateBlock(slice), dst + (bucket.time_steps - 1) * bucket.batch_size * config_.hidden_size,
             slice.active_rows * config_.hidden_size);
  if (KeepsOutput(slice.layer)) Scatter(slice, dst);
  if (slice.last) StoreStates(slice);
}

void SequenceLane::LoadStates(const SequenceSlice& slice) {
  const int64_t hidden = config_.hidden_size;
  const int64_t block = slice.layer * config_.num_directions + slice.direction;
  float* target = StateBlock(slice);
  for (const int64_t row : rows_) {
    CopyFloats(target, call_.states[static_cast<size_t>(row)] + block * hidden, hidden);
    target += hidden;
  }
}

void SequenceLane::StoreStates(const SequenceSlice& slice) {
  const int64_t hidden = config_.hidden_size;
  const int64_t block = slice.layer * config_.num_directions + slice.direction;
  const float* source = StateBlock(slice);
  for (const int64_t row : rows_) {
    CopyFloats(call_.states[static_cast<size_t>(row)] + block * hidden, source, hidden);
    source += hidden;
  }
}

// Each direction its own half.
void SequenceLane::ZeroPastTheEnds(const SequenceSlice& slice) {
  for (int64_t i = 0; i < num_rows(); ++i) {
    const SequenceRow& row = places_[static_cast<size_t>(i)];
    if (row.output == nullptr || row.last_output_only) continue;
    float* const output = row.output + slice.direction * config_.hidden_size;
    for (int64_t t = length(i); t < row.time_steps; ++t) {
      ZeroFloats(output + t * row.output_time_stride, config_.hidden_size);
    }
  }
}

const float* SequenceLane::Gather(const SequenceSlice& slice, float* target) const {
  const Bucket& bucket = slice.bucket;
  const int64_t width = config_.layer_input_size(slice.layer);
  float* next = target;
  for (int64_t t = slice.time; t < slice.time + bucket.time_steps; ++t) {
    for (int64_t i = 0; i < slice.active_rows; ++i, next += width) {
      CopyFloats(next, InputRow(slice, i, t), width);
    }
    const int64_t padding = (bucket.batch_size - slice.active_rows) * width;
    ZeroFloats(next, padding);
    next += padding;
  }
  return target;
}

const float* SequenceLane::InputRow(const SequenceSlice& slice, int64_t i, int64_t t) const {
  const int64_t time = TimeOf(slice.direction, i, t);
  const auto at = static_cast<size_t>(i);
  if (slice.layer == 0) {
    return places_[at].input + time * places_[at].input_time_stride;
  }
  return whole_layers_[static_cast<size_t>((slice.layer - 1) % 2)].data() +
         (row_offsets_[at] + time) * config_.output_size();
}

// Whether this layer's output goes somewhere else than to the next layer's slice.
bool SequenceLane::KeepsOutput(int64_t layer) const {
  return layer == config_.num_layers - 1 ? call_.output != nullptr || !call_.rows.empty() : layer_by_layer_;
}

// Where the output of row i at step t goes, or null. REQUIRES: KeepsOutput().
float* SequenceLane::OutputRow(const SequenceSlice& slice, int64_t i, int64_t t) {
  const int64_t time = TimeOf(slice.direction, i, t);
  const int64_t half = slice.direction * config_.hidden_size;
  const auto at = static_cast<size_t>(i);
  if (slice.layer < config_.num_layers - 1) {
    return whole_layers_[static_cast<size_t>(slice.layer % 2)].data() +
           (row_offsets_[at] + time) * config_.output_size() + half;
  }
  const SequenceRow& row = places_[at];
  if (row.output == nullptr) return nullptr;
  if (!row.last_output_only) return row.output + time * row.output_time_stride + half;
  return time == length(i) - 1 ? row.output + half : nullptr;
}

void SequenceLane::Scatter(const SequenceSlice& slice, const float* dst) {
  const Bucket& bucket = slice.bucket;
  const int64_t hidden = config_.hidden_size;
  for (int64_t t = 0; t < bucket.time_steps; ++t) {
    for (int64_t i = 0; i < slice.active_rows; ++i) {
      float* const target = OutputRow(slice, i, slice.time + t);
      if (target != nullptr) CopyFloats(target, dst + (t * bucket.batch_size + i) * hidden, hidden);
    }
  }
}

}  // namespace gruserve

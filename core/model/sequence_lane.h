// The memory and the arithmetic of one group of rows of a sequence call: states,
// and what lies between layers.
//
// Slices of different tracks (layer and direction) may run at the same time, each
// on its own replica and thread; of one track, one after the other. What a slice
// gathers and computes lies in the replica unless another slice needs it.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_LANE_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_LANE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/base/aligned_buffer.h"
#include "core/model/column_slice.h"
#include "core/model/model.h"
#include "core/model/sequence_call.h"
#include "core/model/sequence_split.h"

namespace gruserve {

class Replica;

// A piece of work: some time steps of one layer and direction of one group.
struct SequenceSlice {
  int64_t lane = 0;
  int64_t layer = 0;
  int64_t direction = 0;
  int64_t index = 0;        // Among its track's slices.
  int64_t time = 0;         // First step, counted in the direction that runs.
  int64_t active_rows = 0;  // Rows of the group that have not ended at `time`.
  Bucket bucket;            // Steps, and rows with padding.
  size_t bucket_index = 0;  // Of the primitive; without meaning for columns.
  bool last = false;        // Of its track.

  // Where two workers may share the slice, and which part this one computes. The one
  // that claimed it opens it.
  std::shared_ptr<ColumnSlice> columns;
  int part = 0;
  bool opens = true;
};

class SequenceLane {
 public:
  // Bytes that a lane keeps between layers that run one after the other.
  static int64_t BytesBetweenLayers(const Model& model, const SequenceCall& call, const SequenceSplit& split);

  // Memory for the split's first group serves every group. All must outlive the lane.
  SequenceLane(const Model& model, const SequenceCall& call, const SequenceSplit& split);

  // Makes `rows` the group that runs. REQUIRES: no slice runs.
  void Begin(std::span<const int64_t> rows);

  int64_t num_rows() const { return static_cast<int64_t>(rows_.size()); }
  // Of row i of the group.
  int64_t length(int64_t i) const { return call_.length(rows_[static_cast<size_t>(i)]); }

  // Internal where oneDNN fails.
  absl::Status Run(const SequenceSlice& slice, Replica& replica);
  // The same for columns: before any part runs, and with what the winner has.
  void Open(const SequenceSlice& slice);
  absl::Status Close(const SequenceSlice& slice);

 private:
  void AllocateStates(const SequenceSplit& split);
  void AllocateBetweenLayers(const SequenceSplit& split);
  int64_t TimeOf(int64_t direction, int64_t i, int64_t t) const {
    return direction == 0 ? t : length(i) - 1 - t;
  }
  bool feeds_next_layer(int64_t layer) const { return !layer_by_layer_ && layer < config_.num_layers - 1; }
  AlignedBuffer& Between(int64_t layer, int64_t index) {
    return ring_[static_cast<size_t>(layer * slices_between_ + index % slices_between_)];
  }
  float* StateBlock(const SequenceSlice& slice) {
    return states_.data() + (slice.layer * config_.num_directions + slice.direction) * block_size_;
  }
  void Begin(const SequenceSlice& slice);
  void Conclude(const SequenceSlice& slice, const float* dst);
  void LoadStates(const SequenceSlice& slice);
  void StoreStates(const SequenceSlice& slice);
  void ZeroPastTheEnds(const SequenceSlice& slice);
  const float* Gather(const SequenceSlice& slice, float* target) const;
  const float* InputRow(const SequenceSlice& slice, int64_t i, int64_t t) const;
  bool KeepsOutput(int64_t layer) const;
  float* OutputRow(const SequenceSlice& slice, int64_t i, int64_t t);
  void Scatter(const SequenceSlice& slice, const float* dst);

  // Constant after construction.
  const Model& model_;
  const GruConfig& config_;
  const SequenceCall& call_;
  const int64_t slices_between_;
  const bool layer_by_layer_;
  int64_t block_size_ = 0;  // Floats of one layer's and direction's states.

  std::span<const int64_t> rows_;
  std::vector<SequenceRow> places_;  // Of each row.
  AlignedBuffer states_;             // [layers * D, block_size_]
  std::vector<AlignedBuffer> ring_;  // In a wave: [layers - 1, slices_between_] of [T, N, H].
  // Layer by layer: row after row of the group, [length, D * H], by turns.
  std::array<AlignedBuffer, 2> whole_layers_;
  std::vector<int64_t> row_offsets_;  // In whole_layers_, in time steps.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_LANE_H_

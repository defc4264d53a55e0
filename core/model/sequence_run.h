// One sequence call under way: cut into slices of bounded work, so that a worker
// can do other things between two of them.
//
// Rows run longest first, in groups of one batch; a row that has ended leaves its
// group, so that ragged rows cost no padding. With one direction a slice of time
// goes through all layers before the next; with two, each layer finishes both
// directions first. The reverse direction reads its rows backwards, each from its
// own end.
//
// Not thread-safe; different threads may drive it in turn.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/base/aligned_buffer.h"
#include "core/model/model.h"

namespace gruserve {

class Replica;

// One whole sequence call over `batch_size` rows.
struct SequenceCall {
  int64_t time_steps = 0;
  int64_t batch_size = 0;
  const float* input = nullptr;    // Row r at time t begins at
  int64_t input_time_stride = 0;   // input + t * input_time_stride
  int64_t input_batch_stride = 0;  //       + r * input_batch_stride.
  float* output = nullptr;         // [D * H] a row and time, or null.
  int64_t output_time_stride = 0;
  int64_t output_batch_stride = 0;
  bool last_output_only = false;     // Write only each row's own last output,
                                     // at output + r * output_batch_stride.
  std::span<const int64_t> lengths;  // One a row, 1 to T; empty: all T. The
                                     // output is zero past a row's length.
  std::span<float* const> states;    // One a row: [layers * D, H], replaced.
};

class SequenceRun {
 public:
  // Bytes that may lie between the layers of a stacked bidirectional network.
  static constexpr int64_t kMaxBytesBetweenLayers = int64_t{1} << 30;

  // The call's arrays must live until the run is done.
  SequenceRun(std::shared_ptr<const Model> model, const SequenceCall& call);

  // Runs one slice on `replica` (any replica of the same model).
  // ResourceExhausted where the call needs more than kMaxBytesBetweenLayers;
  // after an error the run is of no more use. REQUIRES: !done().
  absl::Status Advance(Replica& replica);
  bool done() const { return first_row_ >= call_.batch_size; }

 private:
  int64_t length(int64_t row) const {
    return call_.lengths.empty() ? call_.time_steps : call_.lengths[static_cast<size_t>(row)];
  }
  // Of row i of the group.
  int64_t group_row(int64_t i) const { return order_[static_cast<size_t>(first_row_ + i)]; }
  int64_t group_length(int64_t i) const { return length(group_row(i)); }
  // Its step `t` in the direction that runs, as a time of the call.
  int64_t TimeOf(int64_t i, int64_t t) const { return direction_ == 0 ? t : group_length(i) - 1 - t; }

  void AllocateSlabs();
  void AllocateBetweenLayers();
  void BeginGroup();
  void EndGroup();
  void PickSlice();
  const float* GatherInput();
  const float* InputRow(int64_t i, int64_t t) const;
  bool KeepsOutput() const;
  float* OutputRow(int64_t i, int64_t t);
  void ScatterOutput(const float* dst);
  float* StateBlock();
  void KeepStates(const float* dst);
  void MoveOn();

  // Constant after construction.
  const std::shared_ptr<const Model> model_;
  const GruConfig& config_;
  const SequenceCall call_;
  std::vector<int64_t> order_;  // Rows, longest first.

  // Where it stands: the group, and within it the slice.
  int64_t first_row_ = 0;
  int64_t group_size_ = 0;
  int64_t layer_ = 0;
  int64_t direction_ = 0;
  int64_t time_ = 0;
  int64_t active_rows_ = 0;  // Rows of the group that have not ended at time_.
  size_t bucket_index_ = 0;
  Bucket bucket_;

  absl::Status status_;
  int64_t state_rows_ = 0;
  AlignedBuffer states_;              // [layers * D, state_rows_, H]
  AlignedBuffer src_;                 // [T, N, layer input], gathered.
  std::array<AlignedBuffer, 2> dst_;  // [T, N, H], by turns with the layers.
  // With two directions: row after row of the group, [length, 2 * H].
  std::array<AlignedBuffer, 2> between_layers_;
  std::vector<int64_t> between_offsets_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_

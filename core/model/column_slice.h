// Some time steps of one layer of a model of one direction, for two threads to compute
// together: each a part, its block of the hidden units (core/engine/gru_columns.h).
//
// The parts meet at each step, but neither depends on the other. A part that has its
// block waits for the other's only while that one is at the same step, and no longer
// than its own took; then it computes that block too. A part that comes late, or was
// held up, copies what the other has, and goes on where that one is. Both compute the
// same bits, so it does not matter who computes what. Each part writes its own
// memory only, and reads the other's where a flag says that it is there.
//
// The first part to have every step wins: the answer is its caller's to use. The
// other finds that out at its next step. It may still be at it when the call has
// ended, and so reads nothing of it: it keeps the model, and the slice itself.
//
// Begin: one thread, while nobody else has the slice. Then each part on a thread.

#ifndef GRUSERVE_CORE_MODEL_COLUMN_SLICE_H_
#define GRUSERVE_CORE_MODEL_COLUMN_SLICE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/column_projections.h"
#include "core/engine/gru_columns.h"
#include "core/engine/scratchpad.h"
#include "core/model/model.h"

namespace gruserve {

class ColumnSlice {
 public:
  static constexpr int kParts = GruColumns::kBlocks;

  // With room for so many steps of so many rows, of layers of the shape of `layer`.
  // Internal where oneDNN fails. REQUIRES: model.has_columns(),
  // max_batch_size <= GruColumns::kMaxBatchSize.
  static absl::StatusOr<std::unique_ptr<ColumnSlice>> Create(const Model& model, int64_t layer,
                                                             int64_t max_time_steps, int64_t max_batch_size);

  // Holds the model that it was made for while it is in use.
  void Attach(std::shared_ptr<const Model> model) { model_ = std::move(model); }
  void Detach() { model_.reset(); }

  // Begins anew. REQUIRES: attached.
  void Begin(int64_t layer, int64_t time_steps, int64_t batch_size);
  int64_t time_steps() const { return time_steps_; }
  int64_t batch_size() const { return batch_size_; }

  // To fill after Begin, by one part's thread, which then opens the slice: [T, N, I]
  // and [N, H].
  float* input() { return input_; }
  float* state() { return state_.data(); }
  void Open() { open_.store(true, std::memory_order_release); }

  // Computes as `part`, and says whether it won. Goes away without where the slice
  // is not opened soon. Once a part.
  bool Run(int part);
  // Any thread: makes `part` go away after its next step at the latest, where the
  // other one is in the slice to stay.
  void SendAway(int part) {
    parts_[static_cast<size_t>(part)].sent_away.store(true, std::memory_order_relaxed);
  }

  // The same in pieces, for a test to mix: begins, and computes until this part has
  // one step more. Each is false where there is nothing (more) to do.
  bool Join(int part);
  bool Advance(int part);
  // Whether `part` is the first that is through, or has failed.
  bool Win(int part);

  // The winner's: whether it had the other's help for most steps, its status, and its
  // output [T, N, H].
  bool shared(int part) const { return 2 * parts_[static_cast<size_t>(part)].steps_met >= time_steps_; }
  const absl::Status& status(int part) const { return parts_[static_cast<size_t>(part)].status; }
  const float* output(int part) const { return parts_[static_cast<size_t>(part)].output; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Has : uint8_t { kNothing, kOwnBlock, kAll };

  struct alignas(64) Part {
    Part(const GruColumns& columns, GruColumns::Workspace room, int64_t max_time_steps,
         int64_t max_batch_size);

    // For the other part too.
    std::atomic<int64_t> at = -1;  // The step whose block this part computes, or computed last.
    std::atomic<bool> sent_away = false;
    std::vector<std::atomic<Has>> has;  // Of each step.
    float* output = nullptr;            // [T, N, H]

    int64_t time = 0;       // Steps that this part has,
    int64_t steps_met = 0;  // and those of them for which the other computed its block.
    absl::Status status;
    GruColumns::Workspace workspace;
    ColumnProjections projections;
    Scratchpad memory;
  };

  ColumnSlice(const GruColumns& columns, std::array<GruColumns::Workspace, kParts> rooms,
              int64_t max_time_steps, int64_t max_batch_size);

  int64_t state_size() const;  // Numbers of a step.
  void CopyStep(Part& part, const Part& other, int64_t t);
  void CopyBlock(Part& part, const Part& other, int block, int64_t t);
  absl::Status ComputeBlock(Part& part, int block, int64_t t);
  absl::Status ComputeStep(int index);
  bool MeetsOther(const Part& other, int64_t t, Clock::time_point begun) const;

  // Constant while the slice is open.
  std::shared_ptr<const Model> model_;
  int64_t layer_ = 0;
  const GruColumns* columns_;
  int64_t time_steps_ = 0;
  int64_t batch_size_ = 0;
  Scratchpad input_memory_;
  float* const input_;
  AlignedBuffer state_;

  std::atomic<bool> open_ = false;
  std::atomic<bool> won_ = false;
  std::array<Part, kParts> parts_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_COLUMN_SLICE_H_

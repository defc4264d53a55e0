// One sequence call under way: tracks of slices that several workers may run.
//
// A track is one layer and direction of one group of rows. Its slices run one
// after the other; a slice is free to run when what it reads is there. With one
// direction that is the same slice of the layer below (the layers form a wave,
// each at most a few slices ahead of the next); with two, or by columns, all of the
// layer below. Rows that have ended leave their group, so that ragged rows
// cost no padding. The reverse direction reads its rows backwards, each from its
// own end.
//
// Nobody waits for a slice: a worker claims one that is free, or goes away.
// Claim, Finish, Fail and the questions are for one thread at a time (a caller's
// lock); Run needs no lock, and may go on for different slices at the same time.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "core/model/model.h"
#include "core/model/sequence_call.h"
#include "core/model/sequence_lane.h"
#include "core/model/sequence_split.h"

namespace gruserve {

class SequenceRun {
 public:
  // Bytes that may lie between layers that run one after the other.
  static constexpr int64_t kMaxBytesBetweenLayers = int64_t{1} << 30;

  // Allocates what the call needs, cut for `parallelism` workers. Where that is more
  // than kMaxBytesBetweenLayers it has failed at once, with ResourceExhausted. The
  // call's arrays must live until the run is done.
  SequenceRun(std::shared_ptr<const Model> model, const SequenceCall& call, int64_t parallelism);
  SequenceRun(const SequenceRun&) = delete;
  SequenceRun& operator=(const SequenceRun&) = delete;

  // A slice for the caller to run now, the one that holds up most; nothing where
  // none is free. With a part, that may be a slice of columns, of which the caller
  // computes that part.
  std::optional<SequenceSlice> Claim(std::optional<int> part = std::nullopt);
  bool claimable() const { return BestTrack().has_value(); }

  // Whether the call was cut so that its slices may be of columns.
  bool has_columns() const { return split_.columns; }
  // The other part of a slice of columns that runs: once a slice. REQUIRES: helpable().
  SequenceSlice Help();
  bool helpable() const { return open_.has_value(); }
  // Where somebody helps, that one soon goes away, and another may not come before
  // the next slice.
  void SendHelpAway();

  // Whether no slice runs, one is free, and several of the same track come after it:
  // what is left is work for one.
  bool IsChain() const;

  // Runs a claimed slice on `replica` (any replica of the same model, in use by
  // nobody else); not for columns.
  absl::Status Run(const SequenceSlice& slice, Replica& replica) { return lane(slice).Run(slice, replica); }
  // For columns: whoever claimed the slice opens it, both parts run `slice.columns`,
  // which needs nothing of the run, and the one that wins closes it and finishes it.
  // The other may find the run gone.
  void Open(const SequenceSlice& slice) { lane(slice).Open(slice); }
  absl::Status Close(const SequenceSlice& slice) { return lane(slice).Close(slice); }
  // Takes a claimed slice back, with what Run or Close said.
  void Finish(const SequenceSlice& slice, const absl::Status& status);

  // Hands out no more slices; the first reason stays.
  void Fail(const absl::Status& status);
  const absl::Status& status() const { return status_; }

  // Whether no slice runs and none is to come.
  bool done() const { return running_ == 0 && (tracks_left_ == 0 || !status_.ok()); }

  // Claims, runs and finishes one slice. REQUIRES: !done(), and no slice runs.
  absl::Status Advance(Replica& replica);

 private:
  struct Track {
    int64_t finished = 0;  // Slices.
    int64_t time = 0;      // First step of the next slice.
    int64_t active_rows = 0;
    bool running = false;
    bool done = false;
  };
  struct Lane {
    std::unique_ptr<SequenceLane> memory;
    std::vector<Track> tracks;  // Layer after layer, its directions together.
    int64_t tracks_left = 0;
  };
  struct Place {
    size_t lane;
    size_t track;
  };

  SequenceLane& lane(const SequenceSlice& slice) { return *lanes_[static_cast<size_t>(slice.lane)].memory; }
  void MakeColumns();
  // Room for a slice of columns of `layer` that nobody uses, or null.
  std::shared_ptr<ColumnSlice> FreeColumns(int64_t layer) const;
  void BeginGroup(Lane* lane);
  bool Free(const Lane& lane, size_t track) const;
  int64_t Progress(const Lane& lane, size_t track) const;
  std::optional<Place> BestTrack() const;

  // Constant after construction.
  const std::shared_ptr<const Model> model_;
  const GruConfig& config_;
  const SequenceCall call_;
  SequenceSplit split_;

  std::vector<Lane> lanes_;
  // By shape of layer. Two each: a part that lost may still be at one slice when the next begins.
  std::array<std::vector<std::shared_ptr<ColumnSlice>>, 2> columns_;
  std::optional<SequenceSlice> open_;  // The slice that waits for its other part,
  std::optional<SequenceSlice> help_;  // or the other part of the slice that runs.
  int64_t next_group_ = 0;
  int64_t tracks_left_ = 0;  // Of all groups.
  int64_t running_ = 0;      // Slices claimed and not finished.
  absl::Status status_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_RUN_H_

#include "core/model/sequence_run.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/rounding.h"
#include "core/model/replica.h"

namespace gruserve {

SequenceRun::SequenceRun(std::shared_ptr<const Model> model, const SequenceCall& call, int64_t parallelism)
    : model_(std::move(model)), config_(model_->config()), call_(call) {
  if (call_.time_steps == 0 || call_.batch_size == 0) return;
  split_ = SplitSequence(*model_, call_, parallelism);
  const int64_t bytes = SequenceLane::BytesBetweenLayers(*model_, call_, split_);
  if (bytes > kMaxBytesBetweenLayers) {
    Fail(absl::ResourceExhaustedError(
        absl::StrCat("a call of time_steps ", call_.time_steps, ", batch_size ", call_.batch_size, " keeps ",
                     bytes, " bytes between the layers, the limit is ", kMaxBytesBetweenLayers)));
    return;
  }
  if (bytes > 0) split_.lanes = std::min(split_.lanes, kMaxBytesBetweenLayers / bytes);
  if (split_.columns) MakeColumns();
  tracks_left_ = split_.num_groups() * config_.state_blocks();
  lanes_.resize(static_cast<size_t>(split_.lanes));
  for (Lane& lane : lanes_) {
    lane.memory = std::make_unique<SequenceLane>(*model_, call_, split_);
    BeginGroup(&lane);
  }
}

void SequenceRun::MakeColumns() {
  const int64_t slices = CeilDivide(call_.time_steps, split_.max_column_steps) * config_.num_layers;
  for (int64_t layer = 0; layer < model_->num_shapes(); ++layer) {
    for (int64_t i = 0; i < std::min<int64_t>(slices, 2); ++i) {
      absl::StatusOr<std::shared_ptr<ColumnSlice>> columns = model_->column_slices().Take(model_, layer);
      if (!columns.ok()) return Fail(columns.status());
      columns_[model_->shape_index(layer)].push_back(*std::move(columns));
    }
  }
}

std::shared_ptr<ColumnSlice> SequenceRun::FreeColumns(int64_t layer) const {
  for (const std::shared_ptr<ColumnSlice>& columns : columns_[model_->shape_index(layer)]) {
    if (columns.use_count() == 1) return columns;
  }
  return nullptr;
}

void SequenceRun::BeginGroup(Lane* lane) {
  lane->memory->Begin(split_.group(next_group_++));
  lane->tracks.assign(static_cast<size_t>(config_.state_blocks()),
                      Track{.active_rows = lane->memory->num_rows()});
  lane->tracks_left = config_.state_blocks();
}

bool SequenceRun::Free(const Lane& lane, size_t track) const {
  const Track& own = lane.tracks[track];
  if (own.running || own.done) return false;
  const auto directions = static_cast<size_t>(config_.num_directions);
  const size_t layer = track / directions;
  if (split_.layer_by_layer) {
    return layer == 0 || std::all_of(lane.tracks.begin() + static_cast<ptrdiff_t>((layer - 1) * directions),
                                     lane.tracks.begin() + static_cast<ptrdiff_t>(layer * directions),
                                     [](const Track& below) { return below.done; });
  }
  if (layer > 0 && lane.tracks[layer - 1].finished <= own.finished) return false;
  return layer + 1 == lane.tracks.size() ||
         own.finished - lane.tracks[layer + 1].finished < split_.slices_between;
}

// The track with the least of it holds up most: for one direction a slice and the
// one above it in the wave, for two what is before it in its lane. One worker alone
// stays with a direction, whose weights are in its cache.
int64_t SequenceRun::Progress(const Lane& lane, size_t track) const {
  const Track& own = lane.tracks[track];
  const auto place = static_cast<int64_t>(track);
  if (config_.num_directions == 1) return own.finished + place;
  return (split_.shared ? place / 2 : place) * call_.time_steps + own.time;
}

std::optional<SequenceRun::Place> SequenceRun::BestTrack() const {
  std::optional<Place> best;
  if (!status_.ok()) return best;
  int64_t least = 0;
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    for (size_t track = 0; track < lanes_[lane].tracks.size(); ++track) {
      if (!Free(lanes_[lane], track)) continue;
      const int64_t progress = Progress(lanes_[lane], track);
      if (best.has_value() && progress > least) continue;
      // Of two equal ones the higher layer: it makes room between the layers.
      if (best.has_value() && progress == least && best->lane != lane) continue;
      best = Place{lane, track};
      least = progress;
    }
  }
  return best;
}

std::optional<SequenceSlice> SequenceRun::Claim(std::optional<int> part) {
  const std::optional<Place> best = BestTrack();
  if (!best.has_value()) return std::nullopt;
  Lane& lane = lanes_[best->lane];
  Track& track = lane.tracks[best->track];
  // As many steps as all active rows still have.
  while (lane.memory->length(track.active_rows - 1) <= track.time) --track.active_rows;
  const int64_t steps = lane.memory->length(track.active_rows - 1) - track.time;
  const size_t bucket_index =
      model_->buckets().Pick(std::min(steps, split_.max_slice_steps), track.active_rows);
  const auto place = static_cast<int64_t>(best->track);
  SequenceSlice slice{.lane = static_cast<int64_t>(best->lane),
                      .layer = place / config_.num_directions,
                      .direction = place % config_.num_directions,
                      .index = track.finished,
                      .time = track.time,
                      .active_rows = track.active_rows,
                      .bucket = model_->buckets().buckets()[bucket_index],
                      .bucket_index = bucket_index,
                      .part = part.value_or(0)};
  if (std::shared_ptr<ColumnSlice> columns = part.has_value() ? FreeColumns(slice.layer) : nullptr) {
    slice.bucket = {std::min(steps, split_.max_column_steps), ColumnBatch(*model_, track.active_rows)};
    columns->Begin(slice.layer, slice.bucket.time_steps, slice.bucket.batch_size);
    slice.columns = std::move(columns);
  }
  slice.last = slice.time + slice.bucket.time_steps == lane.memory->length(0);
  if (slice.columns != nullptr) open_ = slice;
  track.running = true;
  ++running_;
  return slice;
}

SequenceSlice SequenceRun::Help() {
  SequenceSlice slice = *std::exchange(open_, std::nullopt);
  slice.part = ColumnSlice::kParts - 1 - slice.part;
  slice.opens = false;
  help_ = slice;
  return slice;
}

void SequenceRun::SendHelpAway() {
  if (help_.has_value()) help_->columns->SendAway(help_->part);
}

void SequenceRun::Finish(const SequenceSlice& slice, const absl::Status& status) {
  Lane& lane = lanes_[static_cast<size_t>(slice.lane)];
  Track& track = lane.tracks[static_cast<size_t>(slice.layer * config_.num_directions + slice.direction)];
  assert(track.running && track.finished == slice.index);
  --running_;
  track.running = false;
  ++track.finished;
  track.time += slice.bucket.time_steps;
  if (slice.columns != nullptr) {
    open_.reset();
    help_.reset();
  }
  if (!status.ok()) Fail(status);
  if (!slice.last) return;
  track.done = true;
  --tracks_left_;
  if (--lane.tracks_left == 0 && next_group_ < split_.num_groups()) BeginGroup(&lane);
}

void SequenceRun::Fail(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

bool SequenceRun::IsChain() const {
  const std::optional<Place> best = BestTrack();
  if (!best.has_value() || running_ > 0 || split_.columns) return false;
  const Lane& lane = lanes_[best->lane];
  const Track& track = lane.tracks[best->track];
  if (lane.memory->length(0) - track.time <= 2 * split_.max_slice_steps) return false;
  int64_t free = 0;
  for (const Lane& each : lanes_) {
    for (size_t i = 0; i < each.tracks.size(); ++i) free += Free(each, i) ? 1 : 0;
  }
  return free == 1;
}

absl::Status SequenceRun::Advance(Replica& replica) {
  assert(!done() || !status_.ok());
  if (const std::optional<SequenceSlice> slice = Claim()) Finish(*slice, Run(*slice, replica));
  return status_;
}

}  // namespace gruserve

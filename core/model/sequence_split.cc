#include "core/model/sequence_split.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/rounding.h"
#include "core/model/column_slice.h"

namespace gruserve {
namespace {

// Less work than about half a millisecond is not shared: waking a worker costs 50 us.
constexpr double kMinSharedFlops = 4e7;
// What a slice costs besides its rows, in rows of one step. Weights (of one layer and
// direction) that do not stay in a cache from slice to slice are read anew by each.
constexpr int64_t kRowsPerSlice = 4;
constexpr int64_t kRowsPerSliceOfHugeWeights = 16;
constexpr int64_t kHugeWeightBytes = int64_t{8} << 20;
// Rows that lose nothing when they run apart from others.
constexpr int64_t kFullGroup = 16;
// Where reading the weights is most of the work, fewer rows cost as much as these:
// two groups of them are no faster than one, and twice the work for a busy machine.
constexpr int64_t kSmallGroup = 4;
constexpr int64_t kBigWeightBytes = int64_t{4} << 20;
// Slices of a track where workers share a call by tracks: they may come late, or be
// slowed down by others, and still share what is left.
constexpr int64_t kSharedSlices = 8;
// Measured with 1, 2 and 4 rows of hidden 512 to 1024 (ADR 15).
constexpr int64_t kWeightBytesPerStackedRow = int64_t{5} << 20;
// Of one layer, for the next: 16 MiB.
constexpr int64_t kMaxKeptFloats = int64_t{4} << 20;
// More is no faster, and steps wait for it: one or two milliseconds.
constexpr double kMaxSliceFlops = 2.5e8;
constexpr int64_t kLongSliceRows = 64;

double FlopsOfRow(const GruConfig& config, int64_t layer) {
  return 6.0 * static_cast<double>(config.hidden_size) *
         static_cast<double>(config.layer_input_size(layer) + config.hidden_size);
}

double FlopsOfRow(const GruConfig& config) {
  double flops = 0;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) flops += FlopsOfRow(config, layer);
  return flops * static_cast<double>(config.num_directions);
}

int64_t WeightBytes(const GruConfig& config) {
  const int64_t width = config.layer_input_size(config.num_layers - 1) + config.hidden_size;
  return 3 * config.hidden_size * width * static_cast<int64_t>(sizeof(float));
}

int64_t RowsPerSlice(const GruConfig& config) {
  return WeightBytes(config) < kHugeWeightBytes ? kRowsPerSlice : kRowsPerSliceOfHugeWeights;
}

// By columns, two workers run stacked layers one after the other. A wave is as good where a
// step's weights are few for its rows, and better for more workers, and for a long call, of
// which a whole layer would be kept.
bool IsForWave(const GruConfig& config, const SequenceCall& call, int64_t parallelism) {
  if (config.num_layers == 1) return false;
  return std::min(config.num_layers, parallelism) > ColumnSlice::kParts ||
         call.batch_size * kWeightBytesPerStackedRow > WeightBytes(config) ||
         call.time_steps * call.batch_size * config.hidden_size > kMaxKeptFloats;
}

bool HasColumns(const Model& model, int64_t rows) {
  return model.has_columns() && rows <= GruColumns::kMaxBatchSize &&
         ColumnBatch(model, rows) <= GruColumns::kMaxBatchSize;
}

// Tracks of one group that can run at the same time.
int64_t ParallelTracks(const GruConfig& config) { return config.num_directions == 2 ? 2 : config.num_layers; }

// Each lane takes every n-th row of a block of `lanes` groups: equal shares of work.
void DealRows(int64_t max_group, SequenceSplit* split) {
  const std::vector<int64_t> sorted = std::move(split->order);
  const auto rows = static_cast<int64_t>(sorted.size());
  split->order.clear();
  split->begins = {0};
  const int64_t full_block = split->lanes * max_group;
  const int64_t even_block = CeilDivide(rows, CeilDivide(rows, full_block));
  const int64_t grain = split->lanes * kFullGroup;
  const int64_t block_rows = std::min(full_block, RoundUp(even_block, grain));
  for (int64_t first = 0; first < rows; first += block_rows) {
    const int64_t end = std::min(rows, first + block_rows);
    for (int64_t lane = 0; lane < std::min(split->lanes, end - first); ++lane) {
      for (int64_t i = first + lane; i < end; i += split->lanes) {
        split->order.push_back(sorted[static_cast<size_t>(i)]);
      }
      split->begins.push_back(static_cast<int64_t>(split->order.size()));
    }
  }
}

int64_t ChooseLanes(const GruConfig& config, int64_t batch_size, int64_t parallelism) {
  const int64_t smallest = WeightBytes(config) < kBigWeightBytes ? 1 : kSmallGroup;
  const int64_t full = std::min(parallelism, batch_size / kFullGroup);
  const int64_t needed = std::min(batch_size / smallest, CeilDivide(parallelism, ParallelTracks(config)));
  return std::max({int64_t{1}, full, needed});
}

// For a wave over layers: the ends of the wave cost as much as the slices' own cost.
int64_t StepsOfWaveSlice(const GruConfig& config, double steps, double rows) {
  return std::llround(
      std::sqrt(steps * static_cast<double>(config.num_layers * RowsPerSlice(config)) / (2 * rows)));
}

int64_t ChooseSliceSteps(const GruConfig& config, const SequenceCall& call, const SequenceSplit& split,
                         int64_t parallelism) {
  const auto rows = static_cast<int64_t>(split.group(0).size());
  const double widest = FlopsOfRow(config, config.num_layers - 1) * static_cast<double>(rows);
  int64_t steps = std::max(static_cast<int64_t>(kMaxSliceFlops / widest), CeilDivide(kLongSliceRows, rows));
  if (parallelism > 1) {
    const int64_t cost = RowsPerSlice(config);
    const bool wave = split.lanes < parallelism && config.num_directions == 1 && config.num_layers > 1;
    const int64_t shared =
        wave ? StepsOfWaveSlice(config, static_cast<double>(call.time_steps), static_cast<double>(rows))
             : CeilDivide(call.time_steps, kSharedSlices);
    steps = std::min(steps, std::max(shared, CeilDivide(4 * cost, rows)));
  }
  // The power of two that is nearest by its logarithm.
  int64_t power = 1;
  while (power < BucketSet::kMaxTimeSteps && power * power * 2 < steps * steps) power *= 2;
  return power;
}

// Of whole projections, each of which reads all of a block's input weights.
int64_t ColumnSteps(const GruConfig& config, int64_t rows) {
  constexpr int64_t kGrain = GruColumns::kMaxProjectedSteps;
  const double flops =
      FlopsOfRow(config, config.num_layers - 1) * static_cast<double>(rows) / ColumnSlice::kParts;
  return std::max(static_cast<int64_t>(kMaxSliceFlops / flops) / kGrain * kGrain, kGrain);
}

}  // namespace

int64_t MaxColumnSteps(const Model& model) { return ColumnSteps(model.config(), 1); }

int64_t ColumnBatch(const Model& model, int64_t rows) {
  return model.buckets().buckets()[model.buckets().Pick(1, rows)].batch_size;
}

bool SharesLoneStep(const Model& model) {
  if (model.config().num_layers > 1) return false;
  return SplitSequence(model, {.time_steps = 1, .batch_size = 1}, ColumnSlice::kParts).columns;
}

std::span<const int64_t> SequenceSplit::group(int64_t index) const {
  const auto at = static_cast<size_t>(index);
  return {order.data() + begins[at], static_cast<size_t>(begins[at + 1] - begins[at])};
}

SequenceSplit SplitSequence(const Model& model, const SequenceCall& call, int64_t parallelism) {
  const GruConfig& config = model.config();
  SequenceSplit split;
  split.order.resize(static_cast<size_t>(call.batch_size));
  std::iota(split.order.begin(), split.order.end(), 0);
  std::stable_sort(split.order.begin(), split.order.end(),
                   [&call](int64_t a, int64_t b) { return call.length(a) > call.length(b); });
  double row_steps = 0;
  for (int64_t row = 0; row < call.batch_size; ++row) row_steps += static_cast<double>(call.length(row));
  split.lanes = ChooseLanes(config, call.batch_size, parallelism);
  const auto worth_it = [&](double rows) {
    return parallelism > 1 && rows * FlopsOfRow(config) >= kMinSharedFlops;
  };
  // A step that mostly reads weights takes as long as one of some rows.
  const int64_t least = WeightBytes(config) < kBigWeightBytes ? 0 : call.time_steps * kSmallGroup;
  split.columns = split.lanes == 1 && HasColumns(model, call.batch_size) &&
                  !IsForWave(config, call, parallelism) &&
                  worth_it(std::max(row_steps, static_cast<double>(least)));
  split.layer_by_layer = split.columns || config.num_directions == 2;
  split.shared = !split.columns && split.lanes * ParallelTracks(config) > 1 && worth_it(row_steps);
  if (!split.shared) split.lanes = parallelism = 1;

  DealRows(model.buckets().max_batch_size(), &split);
  split.lanes = std::min(split.lanes, split.num_groups());
  split.max_slice_steps = ChooseSliceSteps(config, call, split, parallelism);
  if (split.columns) {
    split.max_column_steps = std::min(ColumnSteps(config, call.batch_size), call.time_steps);
  }
  split.slices_between = split.shared ? 3 : 1;
  return split;
}

}  // namespace gruserve

#include "core/network/cell_run.h"

#include <algorithm>
#include <array>

#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"

namespace gruserve {
namespace {

constexpr double kFlopsPerSlice = 1e8;  // A few milliseconds: steps wait no longer.

}  // namespace

CellRun::CellRun(const Network& network, size_t node, const SequenceCall& call) : node_(node), call_(call) {
  for (int64_t first = 0; first < call_.batch_size; first += NetworkReplica::kMaxRows) {
    Lane lane{.first_row = first, .rows = std::min(NetworkReplica::kMaxRows, call_.batch_size - first)};
    for (int64_t row = first; row < first + lane.rows; ++row)
      lane.length = std::max(lane.length, call_.length(row));
    lanes_.push_back(lane);
  }
  const RowProgram& body = *network.nodes()[node].body;
  const double flops_per_step = body.FlopsPerRow(0, body.instructions().size()) *
                                static_cast<double>(std::min(NetworkReplica::kMaxRows, call_.batch_size));
  max_slice_steps_ = std::clamp<int64_t>(static_cast<int64_t>(kFlopsPerSlice / flops_per_step), 1, 1024);
}

bool CellRun::claimable() const {
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.free(); });
}

std::optional<CellRun::Slice> CellRun::Claim() {
  const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [](const Lane& each) { return each.free(); });
  if (lane == lanes_.end()) return std::nullopt;
  lane->running = true;
  return Slice{.lane = static_cast<size_t>(lane - lanes_.begin()),
               .time = lane->time,
               .steps = std::min(max_slice_steps_, lane->length - lane->time)};
}

absl::Status CellRun::Run(const Slice& slice, NetworkReplica& replica) const {
  const SingleOmpThread single_thread;
  const Lane& lane = lanes_[slice.lane];
  std::array<StepRow, size_t{NetworkReplica::kMaxRows}> rows;
  for (int64_t t = slice.time; t < slice.time + slice.steps; ++t) {
    size_t count = 0;
    for (int64_t row = lane.first_row; row < lane.first_row + lane.rows; ++row) {
      if (t >= call_.length(row)) continue;
      rows[count++] = {.input = call_.input + t * call_.input_time_stride + row * call_.input_batch_stride,
                       .state = call_.states[static_cast<size_t>(row)],
                       .output = call_.output == nullptr ? nullptr
                                                         : call_.output + t * call_.output_time_stride +
                                                               row * call_.output_batch_stride};
    }
    GRUSERVE_RETURN_IF_ERROR(replica.RunCell(node_, {rows.data(), count}));
  }
  return absl::OkStatus();
}

void CellRun::Finish(const Slice& slice) {
  Lane& lane = lanes_[slice.lane];
  lane.running = false;
  lane.time += slice.steps;
}

bool CellRun::done() const {
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& lane) { return !lane.running && lane.time >= lane.length; });
}

}  // namespace gruserve

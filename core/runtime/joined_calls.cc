#include "core/runtime/joined_calls.h"

#include <algorithm>
#include <atomic>

#include "core/model/sequence_run.h"
#include "core/runtime/executor.h"

namespace gruserve {
namespace {

constexpr int64_t kFloat = sizeof(float);
// A group of so many rows loses nothing beside more (ADR 10).
constexpr int64_t kMaxRows = 16;
// Of one layer's whole output: well within what a run may keep between layers.
constexpr int64_t kMaxOutputBytes = SequenceRun::kMaxBytesBetweenLayers / 16;

}  // namespace

bool JoinedCalls::Fit(const SequenceTask& first, int64_t rows, const SequenceTask& other) {
  if (first.model != other.model || first.model->network().bare() == nullptr) return false;
  const auto [shorter, longer] = std::minmax(first.call.time_steps, other.call.time_steps);
  const int64_t all = rows + other.call.batch_size;
  // Whole layers are kept for the whole call only where it has two directions, stacked.
  return all <= kMaxRows && 2 * shorter >= longer &&
         longer <= kMaxOutputBytes / (all * first.model->config().output_size() * kFloat);
}

SequenceCall JoinedCalls::Join() {
  SequenceCall joined;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (!refusals_[i].ok()) continue;
    const SequenceCall& call = tasks_[i]->call;
    joined.time_steps = std::max(joined.time_steps, call.time_steps);
    for (int64_t row = 0; row < call.batch_size; ++row) {
      rows_.push_back(call.row(row));
      lengths_.push_back(call.length(row));
      states_.push_back(call.states[static_cast<size_t>(row)]);
    }
  }
  joined.batch_size = static_cast<int64_t>(rows_.size());
  joined.rows = rows_;
  joined.lengths = lengths_;
  joined.states = states_;
  return joined;
}

bool JoinedCalls::cancelled() const {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (refusals_[i].ok() && !tasks_[i]->cancelled.load(std::memory_order_relaxed)) return false;
  }
  return true;
}

}  // namespace gruserve

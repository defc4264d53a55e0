#include "core/model/column_slice.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"

namespace gruserve {
namespace {

// How long a part waits for the slice to be opened: some times what gathering takes.
constexpr std::chrono::microseconds kOpenLimit{200};
// Added to what a part's own block took: for a clock that stands still, and the last
// bit of luck.
constexpr std::chrono::microseconds kMeetGrace{2};

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

// Tells the processor that this thread only looks at memory.
void Pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

template <typename Ready>
bool SpinUntil(std::chrono::steady_clock::time_point limit, const Ready& ready) {
  constexpr int kLooksPerTime = 16;
  while (true) {
    for (int i = 0; i < kLooksPerTime; ++i) {
      if (ready()) return true;
      Pause();
    }
    if (std::chrono::steady_clock::now() > limit) return false;
  }
}

}  // namespace

ColumnSlice::Part::Part(const GruColumns& columns, GruColumns::Workspace room, int64_t max_time_steps,
                        int64_t max_batch_size)
    : has(static_cast<size_t>(max_time_steps)),
      workspace(std::move(room)),
      projections(columns, max_batch_size),
      memory(static_cast<int64_t>(FloatBytes(max_time_steps * max_batch_size * columns.hidden_size()))) {
  output = static_cast<float*>(memory.data());
}

absl::StatusOr<std::unique_ptr<ColumnSlice>> ColumnSlice::Create(const Model& model, int64_t layer,
                                                                 int64_t max_time_steps,
                                                                 int64_t max_batch_size) {
  const SingleOmpThread single_thread;
  const GruColumns& columns = model.columns(layer);
  GRUSERVE_ASSIGN_OR_RETURN(GruColumns::Workspace first, GruColumns::Workspace::Create(columns));
  GRUSERVE_ASSIGN_OR_RETURN(GruColumns::Workspace second, GruColumns::Workspace::Create(columns));
  return std::unique_ptr<ColumnSlice>(
      new ColumnSlice(columns, {std::move(first), std::move(second)}, max_time_steps, max_batch_size));
}

ColumnSlice::ColumnSlice(const GruColumns& columns, std::array<GruColumns::Workspace, kParts> rooms,
                         int64_t max_time_steps, int64_t max_batch_size)
    : columns_(&columns),
      input_memory_(static_cast<int64_t>(FloatBytes(max_time_steps * max_batch_size * columns.input_size()))),
      input_(static_cast<float*>(input_memory_.data())),
      state_(max_batch_size * columns.hidden_size()),
      parts_{Part(columns, std::move(rooms[0]), max_time_steps, max_batch_size),
             Part(columns, std::move(rooms[1]), max_time_steps, max_batch_size)} {}

int64_t ColumnSlice::state_size() const { return batch_size_ * columns_->hidden_size(); }

void ColumnSlice::Begin(int64_t layer, int64_t time_steps, int64_t batch_size) {
  layer_ = layer;
  columns_ = &model_->columns(layer);
  time_steps_ = time_steps;
  batch_size_ = batch_size;
  for (Part& part : parts_) {
    part.at.store(-1, std::memory_order_relaxed);
    part.sent_away.store(false, std::memory_order_relaxed);
    for (int64_t t = 0; t < time_steps; ++t) {
      part.has[static_cast<size_t>(t)].store(Has::kNothing, std::memory_order_relaxed);
    }
    part.time = part.steps_met = 0;
    part.status = absl::OkStatus();
    part.projections.Begin(*columns_, model_->weights(layer, 0), batch_size);
  }
  open_.store(false, std::memory_order_relaxed);
  won_.store(false, std::memory_order_relaxed);
}

bool ColumnSlice::Run(int part) {
  if (!Join(part)) return false;
  while (Advance(part)) {
  }
  return Win(part);
}

bool ColumnSlice::Join(int part) {
  const auto open = [this] { return open_.load(std::memory_order_acquire); };
  if (!open() && !SpinUntil(Clock::now() + kOpenLimit, open)) return false;
  // Says from now on: wait for me at the first step.
  parts_[static_cast<size_t>(part)].at.store(0, std::memory_order_relaxed);
  return true;
}

bool ColumnSlice::Advance(int part) {
  Part& own = parts_[static_cast<size_t>(part)];
  if (own.time == time_steps_ || !own.status.ok()) return false;
  if (won_.load(std::memory_order_relaxed) || own.sent_away.load(std::memory_order_relaxed)) return false;
  const SingleOmpThread single_thread;
  own.status = ComputeStep(part);
  if (own.status.ok()) ++own.time;
  return own.status.ok();
}

bool ColumnSlice::Win(int part) {
  const Part& own = parts_[static_cast<size_t>(part)];
  if (own.time < time_steps_ && own.status.ok()) return false;
  return !won_.exchange(true, std::memory_order_relaxed);
}

absl::Status ColumnSlice::ComputeStep(int index) {
  Part& part = parts_[static_cast<size_t>(index)];
  const int other_index = 1 - index;
  const Part& other = parts_[static_cast<size_t>(other_index)];
  const int64_t t = part.time;
  const auto place = static_cast<size_t>(t);
  if (other.has[place].load(std::memory_order_acquire) == Has::kAll) {
    CopyStep(part, other, t);
    ++part.steps_met;
    part.has[place].store(Has::kOwnBlock, std::memory_order_release);
    return absl::OkStatus();
  }
  const Clock::time_point begun = Clock::now();
  part.at.store(t, std::memory_order_relaxed);
  GRUSERVE_RETURN_IF_ERROR(ComputeBlock(part, index, t));
  part.has[place].store(Has::kOwnBlock, std::memory_order_release);
  if (MeetsOther(other, t, begun)) {
    CopyBlock(part, other, other_index, t);
    ++part.steps_met;
    return absl::OkStatus();
  }
  GRUSERVE_RETURN_IF_ERROR(ComputeBlock(part, other_index, t));
  part.has[place].store(Has::kAll, std::memory_order_release);
  return absl::OkStatus();
}

bool ColumnSlice::MeetsOther(const Part& other, int64_t t, Clock::time_point begun) const {
  const auto has_block = [&other, t] {
    return other.has[static_cast<size_t>(t)].load(std::memory_order_acquire) != Has::kNothing;
  };
  if (has_block()) return true;
  if (other.at.load(std::memory_order_relaxed) != t) return false;
  const Clock::time_point now = Clock::now();
  return SpinUntil(now + (now - begun) + kMeetGrace, has_block);
}

void ColumnSlice::CopyStep(Part& part, const Part& other, int64_t t) {
  std::memcpy(part.output + t * state_size(), other.output + t * state_size(), FloatBytes(state_size()));
}

void ColumnSlice::CopyBlock(Part& part, const Part& other, int block, int64_t t) {
  const int64_t size = columns_->block_size();
  for (int64_t n = 0; n < batch_size_; ++n) {
    const int64_t offset = t * state_size() + n * columns_->hidden_size() + block * size;
    std::memcpy(part.output + offset, other.output + offset, FloatBytes(size));
  }
}

absl::Status ColumnSlice::ComputeBlock(Part& part, int block, int64_t t) {
  GRUSERVE_ASSIGN_OR_RETURN(const float* const projection,
                            part.projections.At(block, t, time_steps_, input_, part.workspace));
  const float* const before = t == 0 ? state_.data() : part.output + (t - 1) * state_size();
  return columns_->Step(model_->weights(layer_, 0), block, batch_size_, projection, before,
                        part.output + t * state_size(), part.workspace);
}

}  // namespace gruserve

#include "core/network/network_run.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"
#include "core/network/network_replica.h"

namespace gruserve {
namespace {

constexpr double kFlopsPerSlice = 1e8;  // A few milliseconds: steps wait no longer.
constexpr int64_t kMaxSliceRows = 4096;

void CopyFloats(float* target, const float* source, int64_t count) {
  std::memcpy(target, source, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

NetworkRun::NetworkRun(std::shared_ptr<const Network> network, const SequenceCall& call, int64_t parallelism)
    : network_(std::move(network)),
      call_(call),
      parallelism_(parallelism),
      bare_(network_->bare() != nullptr) {
  if (call_.time_steps == 0 || call_.batch_size == 0) return;
  if (bare_) {
    recurrent_.emplace_back();
    recurrent_.back().gru = std::make_unique<SequenceRun>(network_->bare(), call_, parallelism_);
    stage_ = Stage::kRecurrent;
    Settle();
    return;
  }
  kept_.resize(network_->kept_values().size());
  int64_t most = 0;
  for (size_t l = 0; l < network_->levels().size(); ++l)
    most = std::max(most, KeptBytes(static_cast<int64_t>(l)));
  if (most > kMaxBytesKept) {
    Fail(absl::ResourceExhaustedError(
        absl::StrCat("a call of time_steps ", call_.time_steps, ", batch_size ", call_.batch_size, " keeps ",
                     most, " bytes between the parts of the network, the limit is ", kMaxBytesKept)));
    return;
  }
  Prepare();
  stage_ = Stage::kRows;
  Settle();
}

int64_t NetworkRun::KeptBytes(int64_t level) const {
  int64_t floats = 0;
  for (const Network::KeptValue& kept : network_->kept_values()) {
    if (kept.first_level <= level && level <= kept.last_level) floats += network_->width(kept.value);
  }
  return floats * call_.time_steps * call_.batch_size * static_cast<int64_t>(sizeof(float));
}

void NetworkRun::Prepare() {
  const auto now = static_cast<int64_t>(phase_);
  const int64_t bytes = call_.time_steps * call_.batch_size * static_cast<int64_t>(sizeof(float));
  recurrent_.clear();
  for (size_t i = 0; i < kept_.size(); ++i) {
    const Network::KeptValue& kept = network_->kept_values()[i];
    if (kept.last_level < now) kept_[i] = Scratchpad();
    if (kept.first_level == now) kept_[i] = Scratchpad(bytes * network_->width(kept.value));
  }
  CountRows();
  recurrent_.reserve(level().recurrent.size());
  for (const size_t node : level().recurrent) MakeRecurrent(node);
}

void NetworkRun::CountRows() {
  const bool writes = level().writes_output && call_.output != nullptr;
  last_rows_only_ = level().exports.empty() && call_.last_output_only;
  rows_ = call_.batch_size * (last_rows_only_ ? 1 : call_.time_steps);
  if (level().exports.empty() && !writes) rows_ = 0;
  next_row_ = 0;
  constexpr int64_t kBlock = RowMachine::kMaxRows;
  const auto blocks = static_cast<int64_t>(kFlopsPerSlice / (level().flops_per_row + 1)) / kBlock;
  slice_rows_ = std::clamp(blocks * kBlock, kBlock, kMaxSliceRows);
}

void NetworkRun::MakeRecurrent(size_t index) {
  const NetworkNode& node = network_->nodes()[index];
  Recurrent& run = recurrent_.emplace_back();
  run.node = index;
  if (node.kind == NetworkNode::Kind::kReverseTime) return;
  for (float* const state : call_.states) run.states.push_back(state + node.state_offset);
  const SequenceCall call = CallOf(node, run.states);
  if (node.kind == NetworkNode::Kind::kGru) {
    run.gru = std::make_unique<SequenceRun>(node.model, call, parallelism_);
  } else {
    run.cell = std::make_unique<CellRun>(*network_, index, call);
  }
}

SequenceCall NetworkRun::CallOf(const NetworkNode& node, std::span<float* const> states) {
  SequenceCall call = call_;
  call.states = states;
  const ValueId input = node.inputs[0];
  call.input = Source(input, 0, 0);
  if (!network_->is_input(input)) {
    call.input_batch_stride = network_->width(input);
    call.input_time_stride = call_.batch_size * call.input_batch_stride;
  }
  if (float* const kept = Kept(node.output); kept != nullptr) {
    call.output = kept;
    call.output_batch_stride = network_->width(node.output);
    call.output_time_stride = call_.batch_size * call.output_batch_stride;
    call.last_output_only = false;
  } else if (node.output != network_->output()) {
    call.output = nullptr;
  }
  return call;
}

float* NetworkRun::Kept(ValueId value) {
  for (size_t i = 0; i < kept_.size(); ++i) {
    if (network_->kept_values()[i].value == value) return static_cast<float*>(kept_[i].data());
  }
  return nullptr;
}

const float* NetworkRun::Source(ValueId value, int64_t t, int64_t b) {
  if (network_->is_input(value)) {
    return call_.input + t * call_.input_time_stride + b * call_.input_batch_stride +
           network_->input_offset(value);
  }
  return Kept(value) + (t * call_.batch_size + b) * network_->width(value);
}

std::optional<NetworkSlice> NetworkRun::Claim(std::optional<int> part) {
  if (!claimable()) return std::nullopt;
  ++running_;
  if (stage_ == Stage::kPrepare) {
    preparing_ = true;
    return NetworkSlice{.kind = NetworkSlice::Kind::kPrepare};
  }
  if (stage_ == Stage::kRows) {
    const int64_t first = next_row_;
    next_row_ = std::min(rows_, first + slice_rows_);
    return NetworkSlice{.kind = NetworkSlice::Kind::kRows, .first = first, .count = next_row_ - first};
  }
  const auto run = std::find_if(recurrent_.begin(), recurrent_.end(),
                                [](const Recurrent& each) { return each.claimable(); });
  NetworkSlice slice{.recurrent = static_cast<size_t>(run - recurrent_.begin())};
  if (run->gru != nullptr) slice.gru = *run->gru->Claim(part);
  if (run->cell != nullptr) slice.cell = *run->cell->Claim();
  run->claimed = true;
  return slice;
}

bool NetworkRun::claimable() const {
  if (!status_.ok()) return false;
  switch (stage_) {
    case Stage::kPrepare:
      return !preparing_;
    case Stage::kRows:
      return next_row_ < rows_;
    case Stage::kRecurrent:
      return std::any_of(recurrent_.begin(), recurrent_.end(),
                         [](const Recurrent& run) { return run.claimable(); });
    case Stage::kDone:
      return false;
  }
  return false;
}

bool NetworkRun::has_columns() const {
  return gru_stage() && std::any_of(recurrent_.begin(), recurrent_.end(), [](const Recurrent& run) {
           return run.gru != nullptr && run.gru->has_columns();
         });
}

bool NetworkRun::helpable() const {
  return gru_stage() && std::any_of(recurrent_.begin(), recurrent_.end(), [](const Recurrent& run) {
           return run.gru != nullptr && run.gru->helpable();
         });
}

NetworkSlice NetworkRun::Help() {
  const auto run = std::find_if(recurrent_.begin(), recurrent_.end(), [](const Recurrent& each) {
    return each.gru != nullptr && each.gru->helpable();
  });
  return {.recurrent = static_cast<size_t>(run - recurrent_.begin()), .gru = run->gru->Help()};
}

void NetworkRun::SendHelpAway() {
  if (!gru_stage()) return;
  for (const Recurrent& run : recurrent_) {
    if (run.gru != nullptr) run.gru->SendHelpAway();
  }
}

bool NetworkRun::IsChain() const {
  return status_.ok() && stage_ == Stage::kRecurrent && recurrent_.size() == 1 &&
         recurrent_.front().gru != nullptr && recurrent_.front().gru->IsChain();
}

absl::Status NetworkRun::Run(const NetworkSlice& slice, NetworkReplica& replica) {
  switch (slice.kind) {
    case NetworkSlice::Kind::kPrepare:
      Prepare();
      return absl::OkStatus();
    case NetworkSlice::Kind::kRows:
      return RunRows(slice, replica);
    case NetworkSlice::Kind::kRecurrent:
      break;
  }
  Recurrent& run = recurrent_[slice.recurrent];
  if (run.gru != nullptr) return run.gru->Run(slice.gru, replica.gru(run.node));
  if (run.cell != nullptr) return run.cell->Run(slice.cell, replica);
  ReverseTime(network_->nodes()[run.node]);
  return absl::OkStatus();
}

void NetworkRun::Finish(const NetworkSlice& slice, const absl::Status& status) {
  --running_;
  if (slice.kind == NetworkSlice::Kind::kPrepare) {
    preparing_ = false;
    stage_ = Stage::kRows;
  } else if (slice.kind == NetworkSlice::Kind::kRecurrent) {
    Recurrent& run = recurrent_[slice.recurrent];
    run.finished = true;
    if (run.gru != nullptr) run.gru->Finish(slice.gru, status);
    if (run.cell != nullptr) run.cell->Finish(slice.cell);
  }
  if (!status.ok()) Fail(status);
  Settle();
}

void NetworkRun::Settle() {
  if (running_ > 0 || !status_.ok()) return;
  if (stage_ == Stage::kRows && next_row_ == rows_) stage_ = Stage::kRecurrent;
  if (stage_ != Stage::kRecurrent) return;
  for (const Recurrent& run : recurrent_) {
    if (run.gru != nullptr && !run.gru->status().ok()) Fail(run.gru->status());
    if (!run.done()) return;
  }
  stage_ = bare_ || ++phase_ == network_->levels().size() ? Stage::kDone : Stage::kPrepare;
}

void NetworkRun::Fail(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

absl::Status NetworkRun::RunRows(const NetworkSlice& slice, NetworkReplica& replica) {
  const SingleOmpThread single_thread;
  std::array<std::pair<int64_t, int64_t>, size_t{RowMachine::kMaxRows}> block;
  size_t count = 0;
  for (int64_t row = slice.first; row < slice.first + slice.count; ++row) {
    const int64_t b = row % call_.batch_size;
    const int64_t t = last_rows_only_ ? call_.length(b) - 1 : row / call_.batch_size;
    if (t >= call_.length(b)) {  // Rows that have ended are zero.
      if (level().writes_output) WriteOutput(nullptr, t, b);
    } else {
      block[count++] = {t, b};
    }
    if (count < block.size() && (row + 1 < slice.first + slice.count || count == 0)) continue;
    GRUSERVE_RETURN_IF_ERROR(RunBlock({block.data(), count}, replica));
    count = 0;
  }
  return absl::OkStatus();
}

absl::Status NetworkRun::RunBlock(std::span<const std::pair<int64_t, int64_t>> rows,
                                  NetworkReplica& replica) {
  RowMachine& machine = replica.machine();
  for (const ValueId value : level().imports) {
    const int64_t width = network_->width(value);
    float* target = machine.value(value);
    for (const auto& [t, b] : rows) {
      CopyFloats(target, Source(value, t, b), width);
      target += width;
    }
  }
  for (const size_t index : level().rows) {
    const NetworkNode& node = network_->nodes()[index];
    GRUSERVE_RETURN_IF_ERROR(
        machine.Run(node.first_instruction, node.last_instruction, static_cast<int64_t>(rows.size())));
  }
  for (const ValueId value : level().exports) {
    const int64_t width = network_->width(value);
    const float* source = machine.value(value);
    float* const kept = Kept(value);
    for (const auto& [t, b] : rows) {
      CopyFloats(kept + (t * call_.batch_size + b) * width, source, width);
      source += width;
    }
  }
  if (!level().writes_output) return absl::OkStatus();
  const float* output = machine.value(network_->output());
  for (const auto& [t, b] : rows) {
    WriteOutput(output, t, b);
    output += network_->output_size();
  }
  return absl::OkStatus();
}

void NetworkRun::WriteOutput(const float* row, int64_t t, int64_t b) {
  if (call_.output == nullptr || (call_.last_output_only && t + 1 != call_.length(b))) return;
  float* const target = call_.output + (call_.last_output_only ? 0 : t * call_.output_time_stride) +
                        b * call_.output_batch_stride;
  if (row != nullptr) {
    CopyFloats(target, row, network_->output_size());
  } else {
    std::fill_n(target, network_->output_size(), 0.0F);
  }
}

void NetworkRun::ReverseTime(const NetworkNode& node) {
  const int64_t width = network_->width(node.output);
  float* const target = Kept(node.output);
  if (target == nullptr) return;
  for (int64_t b = 0; b < call_.batch_size; ++b) {
    const int64_t length = call_.length(b);
    for (int64_t t = 0; t < length; ++t)
      CopyFloats(target + (t * call_.batch_size + b) * width, Source(node.inputs[0], length - 1 - t, b),
                 width);
  }
}

absl::Status NetworkRun::Advance(NetworkReplica& replica) {
  assert(!done());
  if (const std::optional<NetworkSlice> slice = Claim()) Finish(*slice, Run(*slice, replica));
  return status_;
}

}  // namespace gruserve

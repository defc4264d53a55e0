#include "core/network/network_replica.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"
#include "core/network/network_run.h"

namespace gruserve {
namespace {

void CopyFloats(float* target, const float* source, int64_t count) {
  std::memcpy(target, source, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkReplica>> NetworkReplica::Create(
    std::shared_ptr<const Network> network) {
  const SingleOmpThread single_thread;
  std::unique_ptr<NetworkReplica> replica(new NetworkReplica(std::move(network)));
  for (const NetworkNode& node : replica->network_->nodes()) {
    replica->grus_.emplace_back();
    replica->cells_.emplace_back();
    if (node.model != nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(replica->grus_.back(), Replica::Create(node.model));
    } else if (node.body != nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(replica->cells_.back(), RowMachine::Create(*node.body));
    }
  }
  if (replica->network_->bare() != nullptr) return replica;
  GRUSERVE_ASSIGN_OR_RETURN(replica->machine_, RowMachine::Create(replica->network_->program()));
  if (replica->network_->steppable())
    replica->states_ = AlignedBuffer(kMaxRows * replica->network_->state_size());
  replica->step_rows_.reserve(static_cast<size_t>(kMaxRows));
  return replica;
}

int64_t NetworkReplica::max_batch_size() const {
  return network_->bare() != nullptr ? network_->bare()->buckets().max_batch_size() : kMaxRows;
}

absl::Status NetworkReplica::RunSteps(std::span<const StepRow> rows) {
  if (!network_->steppable()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this model cannot run single steps: ", network_->not_steppable()));
  }
  if (network_->bare() != nullptr) return grus_.front()->RunSteps(rows);
  const SingleOmpThread single_thread;
  for (size_t first = 0; first < rows.size(); first += size_t{kMaxRows}) {
    GRUSERVE_RETURN_IF_ERROR(RunBatch(rows.subspan(first, std::min(size_t{kMaxRows}, rows.size() - first))));
  }
  return absl::OkStatus();
}

absl::Status NetworkReplica::RunBatch(std::span<const StepRow> rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t state_size = network_->state_size();
  int64_t offset = 0;
  for (ValueId input = 0; network_->is_input(input); ++input) {
    const int64_t width = network_->width(input);
    float* target = machine_->value(input);
    for (const StepRow& row : rows) {
      CopyFloats(target, row.input + offset, width);
      target += width;
    }
    offset += width;
  }
  for (size_t i = 0; i < rows.size(); ++i)
    CopyFloats(states_.data() + static_cast<int64_t>(i) * state_size, rows[i].state, state_size);
  for (size_t node = 0; node < network_->nodes().size(); ++node)
    GRUSERVE_RETURN_IF_ERROR(RunNode(node, count));
  const int64_t output_size = network_->output_size();
  const float* output = machine_->value(network_->output());
  const float* state = states_.data();
  for (const StepRow& row : rows) {
    CopyFloats(row.state, state, state_size);
    if (row.output != nullptr) CopyFloats(row.output, output, output_size);
    state += state_size;
    output += output_size;
  }
  return absl::OkStatus();
}

absl::Status NetworkReplica::RunNode(size_t index, int64_t rows) {
  const NetworkNode& node = network_->nodes()[index];
  if (node.kind == NetworkNode::Kind::kRows)
    return machine_->Run(node.first_instruction, node.last_instruction, rows);
  const int64_t input_width = network_->width(node.inputs[0]);
  const int64_t output_width = network_->width(node.output);
  step_rows_.clear();
  for (int64_t i = 0; i < rows; ++i) {
    step_rows_.push_back({.input = machine_->value(node.inputs[0]) + i * input_width,
                          .state = states_.data() + i * network_->state_size() + node.state_offset,
                          .output = machine_->value(node.output) + i * output_width});
  }
  return node.kind == NetworkNode::Kind::kGru ? grus_[index]->RunSteps(step_rows_)
                                              : RunCell(index, step_rows_);
}

absl::Status NetworkReplica::RunCell(size_t index, std::span<const StepRow> rows) {
  const NetworkNode& node = network_->nodes()[index];
  RowMachine& cell = *cells_[index];
  const int64_t input_width = cell.width(0);
  const int64_t hidden_size = cell.width(1);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    CopyFloats(cell.value(0) + row * input_width, rows[i].input, input_width);
    CopyFloats(cell.value(1) + row * hidden_size, rows[i].state, hidden_size);
  }
  GRUSERVE_RETURN_IF_ERROR(cell.Run(0, node.body->instructions().size(), static_cast<int64_t>(rows.size())));
  const float* next = cell.value(node.body_output);
  for (const StepRow& row : rows) {
    CopyFloats(row.state, next, hidden_size);
    if (row.output != nullptr) CopyFloats(row.output, next, hidden_size);
    next += hidden_size;
  }
  return absl::OkStatus();
}

absl::Status NetworkReplica::RunSequence(const SequenceCall& call) {
  NetworkRun run(network_, call, /*parallelism=*/1);
  while (!run.done()) GRUSERVE_RETURN_IF_ERROR(run.Advance(*this));
  return run.status();
}

}  // namespace gruserve

#include "core/model/replica.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"
#include "core/model/sequence_run.h"

namespace gruserve {
namespace {

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

}  // namespace

absl::StatusOr<std::unique_ptr<Replica>> Replica::Create(std::shared_ptr<const Model> model) {
  const SingleOmpThread single_thread;
  std::vector<KernelTable> tables;
  for (int64_t layer = 0; layer < model->num_shapes(); ++layer) {
    GRUSERVE_ASSIGN_OR_RETURN(KernelTable table,
                              KernelTable::Create(model->layer_shape(layer), model->buckets().buckets()));
    tables.push_back(std::move(table));
  }
  return std::unique_ptr<Replica>(new Replica(std::move(model), std::move(tables)));
}

Replica::Replica(std::shared_ptr<const Model> model, std::vector<KernelTable> tables)
    : model_(std::move(model)), tables_(std::move(tables)) {
  const GruConfig& config = model_->config();
  int64_t scratchpad_bytes = 0;
  for (const KernelTable& table : tables_) {
    scratchpad_bytes = std::max(scratchpad_bytes, table.scratchpad_bytes());
  }
  scratchpad_ = Scratchpad(scratchpad_bytes);
  int64_t slice_rows = 0;
  for (const Bucket& bucket : model_->buckets().buckets()) {
    slice_rows = std::max(slice_rows, bucket.time_steps * bucket.batch_size);
  }
  const int64_t widest = std::max(config.input_size, config.layer_input_size(config.num_layers - 1));
  sequence_input_ = AlignedBuffer(slice_rows * widest);
  sequence_output_ = AlignedBuffer(slice_rows * config.hidden_size);
  if (!config.steppable()) return;
  const int64_t max_batch = model_->buckets().max_batch_size();
  step_inputs_ = AlignedBuffer(max_batch * config.input_size);
  step_states_ = AlignedBuffer(max_batch * config.hidden_size);
  step_outputs_ = AlignedBuffer(config.num_layers * max_batch * config.hidden_size);
}

absl::Status Replica::RunSteps(std::span<const StepRow> rows) {
  if (!model_->config().steppable()) {
    return absl::FailedPreconditionError("a bidirectional model cannot run single steps");
  }
  const auto max_batch = static_cast<size_t>(model_->buckets().max_batch_size());
  for (size_t first = 0; first < rows.size(); first += max_batch) {
    GRUSERVE_RETURN_IF_ERROR(RunBatch(rows.subspan(first, std::min(max_batch, rows.size() - first))));
  }
  return absl::OkStatus();
}

absl::Status Replica::RunBatch(std::span<const StepRow> rows) {
  const GruConfig& config = model_->config();
  const BucketSet& buckets = model_->buckets();
  const auto row_count = static_cast<int64_t>(rows.size());
  const size_t bucket_index = buckets.Pick(1, row_count);
  const int64_t batch_size = buckets.buckets()[bucket_index].batch_size;
  const int64_t layer_size = buckets.max_batch_size() * config.hidden_size;

  float* input = step_inputs_.data();
  for (const StepRow& row : rows) {
    std::memcpy(input, row.input, FloatBytes(config.input_size));
    input += config.input_size;
  }
  std::memset(input, 0, FloatBytes((batch_size - row_count) * config.input_size));

  const float* src = step_inputs_.data();
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    GatherStates(rows, layer, batch_size);
    float* const dst = step_outputs_.data() + layer * layer_size;
    GRUSERVE_RETURN_IF_ERROR(RunLayer(layer, 0, bucket_index, src, step_states_.data(), dst));
    src = dst;
  }

  for (size_t i = 0; i < rows.size(); ++i) {
    const float* result = step_outputs_.data() + static_cast<int64_t>(i) * config.hidden_size;
    for (int64_t layer = 0; layer < config.num_layers; ++layer, result += layer_size) {
      std::memcpy(rows[i].state + layer * config.hidden_size, result, FloatBytes(config.hidden_size));
    }
    if (rows[i].output != nullptr) {
      std::memcpy(rows[i].output, result - layer_size, FloatBytes(config.hidden_size));
    }
  }
  return absl::OkStatus();
}

void Replica::GatherStates(std::span<const StepRow> rows, int64_t layer, int64_t batch_size) {
  const int64_t hidden = model_->config().hidden_size;
  float* target = step_states_.data();
  for (const StepRow& row : rows) {
    std::memcpy(target, row.state + layer * hidden, FloatBytes(hidden));
    target += hidden;
  }
  std::memset(target, 0, FloatBytes((batch_size - static_cast<int64_t>(rows.size())) * hidden));
}

absl::Status Replica::RunSequence(const SequenceCall& call) {
  SequenceRun run(model_, call, /*parallelism=*/1);
  while (!run.done()) GRUSERVE_RETURN_IF_ERROR(run.Advance(*this));
  return run.status();
}

absl::Status Replica::RunLayer(int64_t layer, int64_t direction, size_t bucket_index, const float* src_layer,
                               const float* src_iter, float* dst_layer) {
  const SingleOmpThread single_thread;
  KernelTable& table = tables_[model_->shape_index(layer)];
  return table.Run(bucket_index, {.weights = &model_->weights(layer, direction),
                                  .src_layer = src_layer,
                                  .src_iter = src_iter,
                                  .dst_layer = dst_layer,
                                  .scratchpad = scratchpad_.data()});
}

}  // namespace gruserve

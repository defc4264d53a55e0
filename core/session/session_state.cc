#include "core/session/session_state.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>

#include "core/base/checked_math.h"
#include "core/network/state_layout.h"

namespace gruserve {

SessionState::SessionState(const LoadedModel* model, int64_t num_rows) : model_(model) {
  rows_.reserve(static_cast<size_t>(num_rows));
  for (int64_t i = 0; i < num_rows; ++i) rows_.push_back(model_->slab().Allocate());
  if (!model_->network().initial_state().empty()) InitialStates(model_->network(), rows_);
}

SessionState::~SessionState() { Free(); }

int64_t SessionState::Bytes(const LoadedModel& model, int64_t num_rows) {
  const int64_t row_bytes = model.slab().row_stride() * int64_t{sizeof(float)};
  return CheckedMultiply(row_bytes, num_rows).value_or(std::numeric_limits<int64_t>::max());
}

void SessionState::Set(std::span<const float> values) {
  const Network& network = model_->network();
  assert(values.empty() || values.size() == static_cast<size_t>(network.state_size()) * rows_.size());
  if (values.empty()) {
    InitialStates(network, rows_);
  } else {
    ReadStates(network, values, rows_);
  }
}

std::vector<float> SessionState::Get() const {
  std::vector<float> values(static_cast<size_t>(model_->network().state_size()) * rows_.size());
  WriteStates(model_->network(), rows_, values);
  return values;
}

std::span<float* const> SessionState::StartDraft() {
  assert(draft_.empty());
  for (const float* row : rows_) {
    draft_.push_back(model_->slab().Allocate());
    std::copy_n(row, model_->network().state_size(), draft_.back());
  }
  return draft_;
}

void SessionState::EndDraft(bool keep) {
  if (keep) rows_.swap(draft_);
  FreeRows(&draft_);
}

void SessionState::Free() {
  FreeRows(&rows_);
  FreeRows(&draft_);
}

void SessionState::FreeRows(std::vector<float*>* rows) {
  for (float* row : *rows) model_->slab().Free(row);
  rows->clear();
}

}  // namespace gruserve

#include "core/session/session_state.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>

#include "core/base/checked_math.h"

namespace gruserve {

SessionState::SessionState(const LoadedModel* model, int64_t num_rows) : model_(model) {
  rows_.reserve(static_cast<size_t>(num_rows));
  for (int64_t i = 0; i < num_rows; ++i) rows_.push_back(model_->slab().Allocate());
}

SessionState::~SessionState() { Free(); }

int64_t SessionState::Bytes(const LoadedModel& model, int64_t num_rows) {
  const int64_t row_bytes = model.slab().row_stride() * int64_t{sizeof(float)};
  return CheckedMultiply(row_bytes, num_rows).value_or(std::numeric_limits<int64_t>::max());
}

void SessionState::Set(std::span<const float> values) {
  const auto hidden = static_cast<size_t>(model_->config().hidden_size);
  const auto blocks = static_cast<size_t>(model_->config().state_blocks());
  assert(values.empty() || values.size() == blocks * rows_.size() * hidden);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t block = 0; block < blocks; ++block) {
      float* to = rows_[row] + block * hidden;
      if (values.empty()) {
        std::fill_n(to, hidden, 0.0f);
      } else {
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>((block * rows_.size() + row) * hidden),
                    hidden, to);
      }
    }
  }
}

std::vector<float> SessionState::Get() const {
  const auto hidden = static_cast<size_t>(model_->config().hidden_size);
  const auto blocks = static_cast<size_t>(model_->config().state_blocks());
  std::vector<float> values(blocks * rows_.size() * hidden);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t block = 0; block < blocks; ++block) {
      std::copy_n(rows_[row] + block * hidden, hidden, values.data() + (block * rows_.size() + row) * hidden);
    }
  }
  return values;
}

std::span<float* const> SessionState::StartDraft() {
  assert(draft_.empty());
  for (const float* row : rows_) {
    draft_.push_back(model_->slab().Allocate());
    std::copy_n(row, model_->config().state_size(), draft_.back());
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

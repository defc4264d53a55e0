#include "core/session/session_state.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/base/checked_math.h"
#include "core/network/state_layout.h"

namespace gruserve {

SessionState::SessionState(const LoadedModel* model, int64_t num_rows)
    : model_(model), num_rows_(static_cast<int32_t>(num_rows)) {
  if (num_rows == 1) {
    rows_.only = model_->slab().Allocate();
  } else {
    rows_.many = new float*[static_cast<size_t>(num_rows)];
    std::generate_n(rows_.many, num_rows, [this] { return model_->slab().Allocate(); });
  }
  if (!model_->network().initial_state().empty()) InitialStates(model_->network(), rows());
}

SessionState::SessionState(SessionState&& other) noexcept
    : model_(other.model_), rows_(other.rows_), num_rows_(std::exchange(other.num_rows_, 0)) {}

SessionState::~SessionState() { Free(); }

int64_t SessionState::Bytes(const LoadedModel& model, int64_t num_rows) {
  const int64_t row_bytes = model.slab().row_stride() * int64_t{sizeof(float)};
  return CheckedMultiply(row_bytes, num_rows).value_or(std::numeric_limits<int64_t>::max());
}

void SessionState::Set(std::span<const float> values) {
  const Network& network = model_->network();
  assert(values.empty() || values.size() == static_cast<size_t>(network.state_size()) * rows().size());
  if (values.empty()) {
    InitialStates(network, rows());
  } else {
    ReadStates(network, values, rows());
  }
}

std::vector<float> SessionState::Get() const {
  std::vector<float> values(static_cast<size_t>(model_->network().state_size()) * rows().size());
  WriteStates(model_->network(), rows(), values);
  return values;
}

SessionState SessionState::Copy() const {
  SessionState copy(model_, num_rows_);
  for (size_t row = 0; row < rows().size(); ++row)
    std::copy_n(rows()[row], model_->network().state_size(), copy.rows()[row]);
  return copy;
}

void SessionState::MoveTo(const LoadedModel* model) {
  float** const pointers = num_rows_ > 1 ? rows_.many : &rows_.only;
  for (int64_t row = 0; row < num_rows_; ++row) {
    float* const moved = model->slab().Allocate();
    std::copy_n(pointers[row], model->network().state_size(), moved);
    model_->slab().Free(std::exchange(pointers[row], moved));
  }
  model_ = model;
}

void SessionState::Free() {
  for (float* row : rows()) model_->slab().Free(row);
  if (num_rows_ > 1) delete[] rows_.many;
  num_rows_ = 0;
}

}  // namespace gruserve

// The hidden state of one session, in rows of its model's slab.
//
// Not thread-safe: it belongs to whoever runs the session's operation.

#ifndef GRUSERVE_CORE_SESSION_SESSION_STATE_H_
#define GRUSERVE_CORE_SESSION_SESSION_STATE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/runtime/loaded_model.h"

namespace gruserve {

class SessionState {
 public:
  // `num_rows` rows of zeros, or of what the model begins with. REQUIRES: `model` outlives it; num_rows >= 1.
  SessionState(const LoadedModel* model, int64_t num_rows);
  ~SessionState();

  SessionState(SessionState&& other) noexcept;
  SessionState& operator=(SessionState&&) = delete;

  // Bytes of slab that such a state takes; the largest int64 where that many do
  // not fit one.
  static int64_t Bytes(const LoadedModel& model, int64_t num_rows);

  // One a batch row: all states of the network, each [layers, H].
  std::span<float* const> rows() const {
    return {num_rows_ > 1 ? rows_.many : &rows_.only, static_cast<size_t>(num_rows_)};
  }

  // Replaces it by `values`, state after state, each [layers, rows, H]; by what the
  // model begins with where empty.
  void Set(std::span<const float> values);
  // The inverse of Set.
  std::vector<float> Get() const;

  const LoadedModel& model() const { return *model_; }

  // Goes on in `model`'s slab with the same values. REQUIRES: `model` outlives it from here
  // on, and its network CanGoOnFrom this one's.
  void MoveTo(const LoadedModel* model);

  // A copy of the same model and values.
  SessionState Copy() const;
  // The other's rows become this one's, and the other way round. REQUIRES: the same
  // model and number of rows.
  void Swap(SessionState& other) { std::swap(rows_, other.rows_); }

  // Gives the memory back before the end. Nothing else may be called then.
  void Free();

 private:
  const LoadedModel* model_;
  union {
    float* only;   // Of a state of one row: most are.
    float** many;  // Of more: an array, owned.
  } rows_ = {nullptr};
  int32_t num_rows_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_STATE_H_

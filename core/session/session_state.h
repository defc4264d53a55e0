// The hidden state of one session, in rows of its model's slab.
//
// Not thread-safe: it belongs to whoever runs the session's operation.

#ifndef GRUSERVE_CORE_SESSION_SESSION_STATE_H_
#define GRUSERVE_CORE_SESSION_SESSION_STATE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "core/runtime/loaded_model.h"

namespace gruserve {

class SessionState {
 public:
  // `num_rows` rows of zeros, or of what the model begins with. REQUIRES: `model` outlives it; num_rows >= 1.
  SessionState(const LoadedModel* model, int64_t num_rows);
  ~SessionState();

  SessionState(const SessionState&) = delete;
  SessionState& operator=(const SessionState&) = delete;

  // Bytes of slab that such a state takes; the largest int64 where that many do
  // not fit one.
  static int64_t Bytes(const LoadedModel& model, int64_t num_rows);

  // One a batch row: all states of the network, each [layers, H].
  std::span<float* const> rows() const { return rows_; }

  // Replaces it by `values`, state after state, each [layers, rows, H]; by what the
  // model begins with where empty.
  void Set(std::span<const float> values);
  // The inverse of Set.
  std::vector<float> Get() const;

  // A copy for a chunk to run on, so that it happens wholly or not at all.
  std::span<float* const> StartDraft();
  // Puts the draft in the state's place, or throws it away.
  void EndDraft(bool keep);

  // Gives the memory back before the end. Nothing else may be called then.
  void Free();

 private:
  void FreeRows(std::vector<float*>* rows);

  const LoadedModel* const model_;
  std::vector<float*> rows_;
  std::vector<float*> draft_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_STATE_H_

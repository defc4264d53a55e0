// The last responses of one session, for operations that come again: a client that
// lost its stream cannot know which of its steps were applied.
//
// Kept by place of the log, so that what was sent as a chunk may be asked for step by
// step, and the other way round. Pure: no locks, no time, no I/O. Not thread-safe.

#ifndef GRUSERVE_CORE_SESSION_REMEMBERED_STEPS_H_
#define GRUSERVE_CORE_SESSION_REMEMBERED_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/session/session_op.h"
#include "core/store/checkpoint.h"

namespace gruserve {

class RememberedSteps {
 public:
  // Keeps the last `most` places of the log. REQUIRES: most >= 1.
  explicit RememberedSteps(int64_t most) : most_(static_cast<size_t>(most)) {}

  // The most bytes that it holds where a step's output has `output_size` floats and
  // the state `state_size`; the largest int64 where that is too many to count.
  static int64_t Bytes(int64_t most, int64_t output_size, int64_t state_size);

  // `op` ran at `result.index`, after all that was added before.
  void Add(const SessionOp& op, const SessionOpResult& result);

  // The response of `op`, which was applied already, as it was then:
  //   OutOfRange          a step of it, or a state that it asks for, is not remembered
  //   FailedPrecondition  its places hold something else, a step or a state set
  // `result` is complete but for `expected_step` where it is OK, else as before.
  absl::Status Replay(const SessionOp& op, SessionOpResult* result) const;

  // The responses, oldest first, and their inverse, the last being that of `step`: what
  // is more than it may keep is left out.
  std::vector<RememberedResponse> Get() const;
  void Set(int64_t step, std::span<const RememberedResponse> responses);

  // The first place that is remembered; the one after the last where none is.
  int64_t first() const { return next_ - static_cast<int64_t>(places_.size()); }

 private:
  struct Place {
    SessionOpKind kind = SessionOpKind::kStep;
    std::vector<float> output;  // Of a step.
    std::vector<float> state;   // After it, where it was asked for.
  };

  const size_t most_;
  int64_t next_ = 1;  // The place after the last.
  std::deque<Place> places_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_REMEMBERED_STEPS_H_

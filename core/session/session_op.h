// One operation on a session, and what became of it. Plain values.

#ifndef GRUSERVE_CORE_SESSION_SESSION_OP_H_
#define GRUSERVE_CORE_SESSION_SESSION_OP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace gruserve {

enum class SessionOpKind {
  kStep,      // One time step, or a chunk of them.
  kSetState,  // Replace the hidden state, or reset it to zeros.
  kClose,     // The last operation: frees the state.
};

// Why an operation failed, where the code alone leaves it open.
enum class SessionErrorReason : uint8_t {
  kNone,
  kBarrier,         // An earlier operation failed and has not been made good.
  kIndex,           // Not the next index.
  kFenced,          // Another stream resumed the session.
  kEvictedIdle,     // Idle for too long.
  kCredits,         // More in flight than allowed.
  kBudget,          // The session memory budget is spent, or the time for real-time contracts.
  kDraining,        // The server is shutting down.
  kMoved,           // As kFenced, by the same client.
  kVersionRetired,  // Its model version was replaced or unloaded for too long.
};

struct SessionOp {
  SessionOpKind kind = SessionOpKind::kStep;
  // The place in the session's log (a chunk's first step); 0 is the next one.
  int64_t index = 0;
  // Time steps of a kStep.
  int64_t time_steps = 1;
  // kStep: [T, rows, I]. kSetState: [layers, rows, H], or empty for zeros.
  std::vector<float> values;
  // kSetState: not -1 where the state after this place of the log comes back, and no values.
  int64_t rewind_to = -1;
  // Also return the state after the step.
  bool return_state = false;
  // Checked when the operation's turn comes.
  absl::Time deadline = absl::InfiniteFuture();
  // Not OK where the decoder refused the operation: it still takes its turn, so
  // that its error comes in order and the barrier rises.
  absl::Status refused;
  // kClose from outside of any stream: also where a stream holds the session.
  bool close_held = false;
  // When it arrived: a step's due time counts from here.
  absl::Time received;
  // For the sink's own use; the session does not look at them.
  uint64_t tag = 0;
  uint32_t form = 0;
};

struct SessionOpResult {
  absl::Status status;
  SessionErrorReason reason = SessionErrorReason::kNone;
  // The operation's index; 0 where it never had one.
  int64_t index = 0;
  // The index the session waits for next.
  int64_t expected_step = 0;
  // kStep: [T, rows, H].
  std::vector<float> output;
  // [layers, rows, H], where asked for.
  std::vector<float> state;
  int64_t durable_step = 0;
  int64_t retry_after_ms = 0;
  bool replayed = false;
};

// Where results go: a stream, or one unary call. Thread-safe.
class SessionSink {
 public:
  virtual ~SessionSink() = default;

  // The result of one operation, exactly one for each Submit; in order for each
  // session, but for what is refused at once (see Session::Submit). Short, and with no lock of a session
  // held; it may come within the Submit itself, from any other thread, and after OnDetached.
  virtual void OnOpDone(const SessionOp& op, const SessionOpResult& result) = 0;

  // The session that was attached here as `handle` is no longer: fenced (ABORTED,
  // kFenced; `epoch` is the new one), evicted (NOT_FOUND, kEvictedIdle), or closed
  // from outside (NOT_FOUND, kNone).
  virtual void OnDetached(uint64_t handle, const absl::Status& status, SessionErrorReason reason,
                          uint64_t epoch) = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_OP_H_

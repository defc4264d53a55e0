// What a client has sent of one session and might have to send again: every
// operation with its place in the session's log, until its answer is given and the
// server says that it is durable.
//
// Pure: no locks, no time, no I/O. Not thread-safe.

#ifndef GRUSERVE_CLIENT_OPERATION_LOG_H_
#define GRUSERVE_CLIENT_OPERATION_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/step_stream.h"
#include "client/tensor.h"

namespace gruserve::client {

struct LoggedOperation {
  bool set_state = false;
  int64_t rewind_to = -1;  // Of a state set that is a rewind.
  Tensor values;           // A step's or chunk's input; a state, empty for a reset.
  int64_t index = 0;       // Its first place in the session's log.
  int64_t places = 1;      // A chunk has one a time step; one that was refused none.
  uint64_t digest = 0;     // Of the session after it.
  uint64_t sending = 0;    // The last time it was sent, as its sender numbers them.
  std::optional<absl::StatusOr<StepResult>> answer;  // Until it is given to the caller.
};

class OperationLog {
 public:
  // Of a session that is at `next_step`, whose inputs so far have `digest` (0: it
  // keeps none), with steps of `batch_size` rows, 0 for unbatched.
  OperationLog(int64_t next_step, uint64_t digest, int64_t batch_size);

  // Adds an operation behind the others.
  const LoggedOperation& Add(bool set_state, Tensor values);
  const LoggedOperation& AddRewind(int64_t rewind_to);

  // The operation at `index`; null where it is not here.
  LoggedOperation* Find(int64_t index);
  // The answer of the operation at `index`; a second one is left out.
  void Answer(int64_t index, StepResult answer);
  // The server refused it for good: it takes no place of the log, and those after it
  // move up.
  void Refuse(int64_t index, absl::Status why);
  // The answer that the caller has not had yet, in order; nothing where it has not come.
  std::optional<absl::StatusOr<StepResult>> TakeAnswer();

  // All up to `durable_step` need never be sent again.
  void Forget(int64_t durable_step);

  // The first place to send again to a server that waits for `next_step`:
  //   DataLoss            it needs operations that are no longer here
  //   FailedPrecondition  somebody else has moved the session on, or with other inputs
  //                       (`digest` of the server; 0: unknown)
  absl::StatusOr<int64_t> ResendFrom(int64_t next_step, uint64_t digest) const;

  std::deque<LoggedOperation>& operations() { return operations_; }
  int64_t next_index() const { return next_; }
  // Operations whose answer the caller has not had.
  int64_t outstanding() const { return static_cast<int64_t>(operations_.size() - given_); }

 private:
  // The place of the first operation whose answer is not given.
  int64_t first_open() const;
  // The digest before place `index`; nothing where that is not known.
  std::optional<uint64_t> DigestBefore(int64_t index) const;
  void Number(LoggedOperation& operation);

  const int64_t batch_size_;
  std::deque<LoggedOperation> operations_;
  size_t given_ = 0;  // Of the first ones, whose answers the caller has had.
  int64_t next_;      // The place after the last operation.
  uint64_t digest_;   // After the last.
  uint64_t before_;   // Before the first that is here.
  bool digests_;      // Whether the session has digests.
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_OPERATION_LOG_H_

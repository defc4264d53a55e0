// Steps through sessions whose hidden states the server keeps: one bidirectional
// stream, any number of sessions on it.
//
//   std::unique_ptr<gc::StepStream> stream = client->OpenStream();
//   absl::StatusOr<gc::StreamSession> session = stream->Open({.model = "demo"});
//   if (!session.ok()) return session.status();
//   for (const std::vector<float>& x : rows) {
//     absl::StatusOr<gc::StepResult> y = session->Step({{3}, x});
//     if (!y.ok()) return y.status();
//     Print(y->index, y->output.values);
//   }
//   absl::StatusOr<gc::SessionInfo> end = session->Close();
//   return stream->Finish();
//
// Operations of one session run in their order; sessions do not wait for one
// another. Each operation has exactly one answer, a value or a status.
//
// The error barrier: when an operation of a session fails on the server (shape,
// deadline, queue), every later operation of that session that has no index of
// its own fails as FailedPrecondition, reason kBarrier, and nothing of it runs:
// no step is ever left out unnoticed. Go on by sending the step that the session
// waits for (SessionErrorOf(status)->expected_step) with its index in
// StepOptions, or by SetState, Reset or Close. Other sessions notice nothing.
//
// A stream that breaks fails every operation without an answer, of all of its
// sessions, with its own status, and ends each session's handle. On the server
// the sessions wait for their grace period: another stream can Open them by id
// with OpenMode::kResume and is told the next step's index. Nothing is sent
// twice by itself.

#ifndef GRUSERVE_CLIENT_STEP_STREAM_H_
#define GRUSERVE_CLIENT_STEP_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/session_info.h"
#include "client/tensor.h"

namespace gruserve::client {

class StreamConnection;

struct StreamOptions {
  // How long a blocking call waits for its answer; then DeadlineExceeded, while
  // the operation itself may still run. Infinite: as long as the stream lives.
  absl::Duration call_timeout = absl::Seconds(30);
};

struct StepOptions {
  // The step's place in the session's log, a chunk's first step. 0: the next one.
  int64_t index = 0;
  // The server refuses to begin the step later than this. Zero: never.
  absl::Duration timeout = absl::ZeroDuration();
  // Also return the hidden state after the step.
  bool return_state = false;
};

struct StepResult {
  int64_t index = 0;                // Of the step, or of a chunk's first step.
  Tensor output;                    // In the shape of the input, with H features in place of I.
  Tensor state;                     // Where asked for, in the shape of h_0,
  std::vector<NamedTensor> states;  // or these, of a model of several.
  int64_t durable_step = 0;
  bool replayed = false;
  int64_t gru_cell_count = 0;
};

struct StateResult {
  int64_t index = 0;
  int64_t durable_step = 0;
  bool replayed = false;
};

// Called once, from a thread of the stream or, where the session is known to have
// ended, within StepAsync. Answers of one session come in their order. Be short:
// while a callback runs the stream reads nothing. Blocking calls on the same
// stream are refused in it with FailedPrecondition; StepAsync is fine.
using StepCallback = std::function<void(absl::StatusOr<StepResult>)>;
using StateCallback = std::function<void(absl::StatusOr<StateResult>)>;

// One session on a stream: a handle, whose copies name the same session. Thread-
// safe. Dropping it does not close the session. May outlive its stream.
class StreamSession {
 public:
  // As the open answered; never changes.
  const SessionInfo& info() const { return info_; }

  // Runs one step: [I], or [n, I] in a session of batch n.
  absl::StatusOr<StepResult> Step(const Tensor& input, const StepOptions& options = {});
  // Runs several steps as one, wholly or not at all: [T, I], or [T, n, I].
  absl::StatusOr<StepResult> StepChunk(const Tensor& inputs, const StepOptions& options = {});
  // Runs a step, or a chunk, behind what is under way, and never blocks. What
  // goes beyond the session's credits (SessionInfo::max_inflight) waits here; a
  // producer without an end of its own calls WaitForRoom between its steps.
  void StepAsync(const Tensor& input, StepCallback done, const StepOptions& options = {});
  // Waits until the session has a credit free, or has ended.
  void WaitForRoom();

  // Replaces the hidden state, in the shape of h_0. Takes one index of the log.
  absl::StatusOr<StateResult> SetState(const Tensor& state, int64_t index = 0);
  // The same of a model of several states; those that are absent begin anew.
  absl::StatusOr<StateResult> SetStates(const std::vector<NamedTensor>& states, int64_t index = 0);
  // Sets the hidden state to what it began with without h_0: zeros, mostly. Takes one index of the log.
  absl::StatusOr<StateResult> Reset(int64_t index = 0);
  // Brings the state back that was there after the operation that ended at `step`, 0 for
  // the first, where OpenOptions::keep_states still keeps it: else OutOfRange. Takes one
  // index of the log, which goes on.
  absl::StatusOr<StateResult> Rewind(int64_t step, int64_t index = 0);
  // Each behind what is under way, and never blocks. An empty state resets.
  void SetStateAsync(const Tensor& state, StateCallback done, int64_t index = 0);
  void RewindAsync(int64_t step, StateCallback done, int64_t index = 0);
  // Ends the session, after all that is under way, and frees its state.
  absl::StatusOr<SessionInfo> Close();

  // OK while the session is open here; then why it is not: closed, evicted,
  // fenced, or the status of the broken stream.
  absl::Status status() const;

 private:
  friend class StepStream;
  StreamSession(std::shared_ptr<StreamConnection> connection, uint32_t handle, SessionInfo info);

  std::shared_ptr<StreamConnection> connection_;
  uint32_t handle_;
  SessionInfo info_;
};

// One stream. Thread-safe. One write is in flight at a time; what is ready
// meanwhile goes together into the next message.
class StepStream {
 public:
  // Client::OpenStream makes streams.
  explicit StepStream(std::shared_ptr<StreamConnection> connection);
  // Cancels a stream that was not finished: its sessions stay on the server for
  // their grace period. Waits for callbacks. Not to be called from one.
  ~StepStream();
  StepStream(const StepStream&) = delete;
  StepStream& operator=(const StepStream&) = delete;

  // Opens or resumes a session on this stream.
  absl::StatusOr<StreamSession> Open(const OpenOptions& options);

  // Sends what waits, ends the sending side, waits for every answer, and returns
  // the stream's status. Nothing can be sent after it.
  absl::Status Finish();
  // Breaks the stream off.
  void Cancel();

  // OK while the stream lives, and after a Finish that went well.
  absl::Status status() const;

 private:
  const std::shared_ptr<StreamConnection> connection_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_STEP_STREAM_H_

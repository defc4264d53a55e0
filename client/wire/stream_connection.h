// The machine of one StreamSteps call: the sessions' queues behind it, one write
// and one read in flight.
//
// Any thread may call it; gRPC's own threads bring the answers, whose callbacks
// run with no lock held, before the next read begins. Writes may begin on a
// caller's thread: the hold taken at the start keeps the call from ending under
// them.
//
// Its owner waits until the call is done (WaitUntilDone) before it lets go. The
// channel then never ends on a thread of gRPC's, which 1.51 does not survive: a
// channel's end waits for those threads.

#ifndef GRUSERVE_CLIENT_WIRE_STREAM_CONNECTION_H_
#define GRUSERVE_CLIENT_WIRE_STREAM_CONNECTION_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/step_stream.h"
#include "client/wire/channel_pool.h"
#include "client/wire/session_queue.h"
#include "gruserve/v1/inference_service.grpc.pb.h"

namespace gruserve::client {

class StreamConnection final
    : public grpc::ClientBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse> {
 public:
  // A message takes no further command once it has this many bytes.
  static constexpr size_t kFullMessageBytes = 256 << 10;

  // Starts the call. `max_message_bytes` bounds one command.
  static std::shared_ptr<StreamConnection> Start(ChannelPool::Lease channel, const StreamOptions& options,
                                                 size_t max_message_bytes);
  ~StreamConnection() override = default;

  // A handle that this stream never used. Its first operation must be an open.
  uint32_t NewHandle() ABSL_LOCKS_EXCLUDED(mu_);

  // Queues `command` for the session of `handle`; `done` gets its answer.
  void Submit(uint32_t handle, v1::SessionCommand command, EventCallback done) ABSL_LOCKS_EXCLUDED(mu_);
  // Submit, and wait for the answer.
  absl::StatusOr<v1::SessionEvent> Call(uint32_t handle, v1::SessionCommand command) ABSL_LOCKS_EXCLUDED(mu_);
  void WaitForRoom(uint32_t handle) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status SessionStatus(uint32_t handle) const ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Finish() ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel();
  // Waits until the call is done and every callback has run.
  void WaitUntilDone() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Legal transitions: kOpen -> kFinishing -> kEnding; kOpen -> kEnding;
  // kEnding -> kFailed -> kDone.
  enum class State {
    kOpen,
    kFinishing,  // Sends what waits, then half-closes.
    kEnding,     // The call ends: no write begins any more, the hold is gone.
    kFailed,     // Ended: callbacks of what had no answer run now.
    kDone,
  };

  StreamConnection(ChannelPool::Lease channel, const StreamOptions& options, size_t max_message_bytes);

  // Sends what may be sent.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves sendable commands of a session to the outbox.
  void Release(SessionQueue* queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginEnding() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnEvent(v1::SessionEvent event, std::vector<Completion>* completions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Why nothing new can begin; OK where it can.
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status StatusOf(uint32_t handle) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsDone() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return state_ == State::kDone; }
  // Whether this thread runs a callback of this stream, where waiting for an
  // answer would be waiting for itself.
  absl::Status CheckMayBlock() const;
  void Complete(std::vector<Completion> completions) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const ChannelPool::Lease channel_;
  const StreamOptions options_;
  const size_t max_message_bytes_;
  const std::unique_ptr<v1::InferenceService::Stub> stub_;
  grpc::ClientContext context_;

  v1::StreamStepsResponse response_;  // The reading thread's.
  v1::StreamStepsRequest request_;    // The write's, while one is in flight.

  mutable absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kOpen;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
  uint32_t last_handle_ ABSL_GUARDED_BY(mu_) = 0;
  // A session that was closed in good order is not kept.
  absl::flat_hash_map<uint32_t, SessionQueue> sessions_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::SessionCommand> outbox_ ABSL_GUARDED_BY(mu_);
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;  // Operations that wait for credits.
  absl::Status outcome_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_STREAM_CONNECTION_H_

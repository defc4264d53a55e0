// One StreamSteps RPC: many sessions, one read and one write in flight.
//
// gRPC's threads and the executor's meet here; every method may be called from
// any of them. An error of a session is an event; only a fault of the stream
// itself ends it. MaybeStartRead is the one place that reads: it waits while the
// reader is owed too much, which is the backpressure. Finish is called once, with
// nothing of the stream in flight. The reactor is also the sink of its sessions,
// whose results may come after the stream is gone: it lives until the last of
// them lets go, at the earliest until OnDone.

#ifndef GRUSERVE_SERVER_STEP_STREAM_REACTOR_H_
#define GRUSERVE_SERVER_STEP_STREAM_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/runtime/work_round.h"
#include "core/session/session_op.h"
#include "gruserve/v1/inference_service.pb.h"
#include "server/backend.h"
#include "server/message_arena.h"
#include "server/stream_handles.h"
#include "server/stream_outbox.h"
#include "server/stream_registry.h"

namespace gruserve::server {

class StepStreamReactor final
    : public grpc::ServerBidiReactor<v1::StreamStepsRequest, v1::StreamStepsResponse>,
      public SessionSink,
      public RoundListener,
      public DrainableStream {
 public:
  // `tenant`, whose stream it is, may be null. REQUIRES: both outlive every stream and
  // session.
  static StepStreamReactor* Start(const Backend* backend, Tenant* tenant);
  ~StepStreamReactor() override = default;

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mu_);

  void OnOpDone(const SessionOp& op, const SessionOpResult& result) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDetached(uint64_t serial, const absl::Status& status, SessionErrorReason reason,
                  uint64_t epoch) override ABSL_LOCKS_EXCLUDED(mu_);

  void OnRoundEnd() override ABSL_LOCKS_EXCLUDED(mu_);

  void Drain() override ABSL_LOCKS_EXCLUDED(mu_);
  void EndDrained() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Legal transitions: kOpen -> kHalfClosed, kDraining, kBroken;
  // kHalfClosed, kDraining -> kBroken; any -> kFinished.
  enum class State {
    kOpen,        // Reads.
    kHalfClosed,  // The client sends no more: answers what it has, then ends.
    kDraining,    // Answers what it has, then waits for EndDrained.
    kBroken,      // Cancelled or torn: answers nothing more.
    kFinished,    // Finish is called, or about to be.
  };

  StepStreamReactor(const Backend* backend, Tenant* tenant);

  // One command each.
  void Handle(const v1::SessionCommand& command, absl::Time now) ABSL_LOCKS_EXCLUDED(mu_);
  void HandleOpen(uint32_t handle, const v1::OpenSession& open) ABSL_LOCKS_EXCLUDED(mu_);
  void HandleOperation(const v1::SessionCommand& command, absl::Time now) ABSL_LOCKS_EXCLUDED(mu_);

  // Opens the session behind `serial`. OnOpened is called with it, at once or once its
  // record in the store is acquired; until then its commands wait.
  void Open(uint32_t handle, uint64_t serial, const v1::OpenSession& open) ABSL_LOCKS_EXCLUDED(mu_);
  void OnOpened(uint32_t handle, uint64_t serial, const absl::StatusOr<std::shared_ptr<Session>>& session)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Opens that leave the handle to the server are answered in their order, so each
  // waits for the one before. Many may be there at once: hence a loop, of one thread.
  void OpenUnnumbered() ABSL_LOCKS_EXCLUDED(mu_);
  // Submits what waited for `session`; then its hold is complete.
  void HandOver(uint64_t serial, const std::shared_ptr<Session>& session) ABSL_LOCKS_EXCLUDED(mu_);
  // Answers that no session is open to what waited for one.
  void RefuseWaiting(uint64_t serial) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // REQUIRES: the operation is counted in `in_flight_`.
  void Submit(Session& session, uint64_t serial, const WaitingCommand& command) ABSL_LOCKS_EXCLUDED(mu_);
  // Puts the last open's in its place, where they are equal.
  void ShareInstance(ClientInstance* instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Says that the session of `serial` is open.
  void AnswerOpened(uint64_t serial, const SessionDescription& description) ABSL_LOCKS_EXCLUDED(mu_);
  // Says that a command of `handle` failed.
  void AnswerError(uint32_t handle, const absl::Status& status, SessionErrorReason reason, bool detached)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Adds the event for a result, and releases the hold of a session that closed.
  void Answer(const StreamHold& hold, const SessionOp& op, const SessionOpResult& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // A new event of about `payload_bytes`; null where nothing is answered any more.
  v1::SessionEvent* AddEvent(uint32_t handle, int64_t payload_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddError(uint32_t handle, const absl::Status& status, SessionErrorReason reason, uint64_t epoch,
                bool detached) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MaybeStartRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MaybeStartWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where a drain waits for it, whether what was taken in is answered; true once.
  bool BecomesQuiet() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Says of each session that it leaves, and where it stands.
  void SayFarewell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether nothing is left to do; then the caller alone calls Finish.
  bool ReadyToFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Goes on with whatever is next. Called after each change.
  void Advance() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const Backend* const backend_;
  Tenant* const tenant_;

  std::optional<ObservedCall> observed_;  // Whoever finishes ends it; until OnDone.
  // The reading thread's.
  MessageArena<v1::StreamStepsRequest> request_;

  absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kOpen;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;                    // A read is in flight.
  bool handling_ ABSL_GUARDED_BY(mu_) = false;                   // A message's commands are being handled.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;                    // A write is in flight.
  bool paused_ ABSL_GUARDED_BY(mu_) = false;                     // Reads wait for the reader.
  bool advances_ ABSL_GUARDED_BY(mu_) = false;                   // A round's end will go on.
  bool drains_ ABSL_GUARDED_BY(mu_) = false;                     // The registry waits for OnQuiet.
  bool ending_ ABSL_GUARDED_BY(mu_) = false;                     // EndDrained was called.
  int64_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;                   // Opens and operations without a result yet.
  int64_t opening_ ABSL_GUARDED_BY(mu_) = 0;                     // The opens among them.
  ClientInstance instance_ ABSL_GUARDED_BY(mu_);                 // The last one.
  bool opening_unnumbered_ ABSL_GUARDED_BY(mu_) = false;         // One is on its way.
  bool starting_unnumbered_ ABSL_GUARDED_BY(mu_) = false;        // Some thread is in OpenUnnumbered.
  std::deque<v1::OpenSession> unnumbered_ ABSL_GUARDED_BY(mu_);  // That wait.
  StreamOutbox outbox_ ABSL_GUARDED_BY(mu_);
  StreamHandles handles_ ABSL_GUARDED_BY(mu_);
  absl::Status outcome_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<StepStreamReactor> self_ ABSL_GUARDED_BY(mu_);  // Until OnDone.
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STEP_STREAM_REACTOR_H_

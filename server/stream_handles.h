// The sessions of one stream, by the handles that its client knows.
//
// A handle may be used again once its session has left; results of the old
// session may still be under way then. So each hold has a serial of its own (its
// handle and a number that no other hold has), which operations carry as their
// tag. Not thread-safe: the stream's lock guards it.

#ifndef GRUSERVE_SERVER_STREAM_HANDLES_H_
#define GRUSERVE_SERVER_STREAM_HANDLES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/session/session.h"
#include "core/session/session_op.h"
#include "gruserve/v1/inference_service.pb.h"

namespace gruserve::server {

// One session's hold by this stream.
// Legal transitions: opening -> open -> closing -> released; any -> released.
struct StreamHold {
  enum class State : uint8_t { kOpening, kOpen, kClosing };

  std::shared_ptr<Session> session;  // Null while opening.
  uint32_t number = 0;               // The upper half of its serial; at least 1.
  State state = State::kOpening;
  bool takes_commands = false;  // Else they wait, behind those that waited for the open.
};

// A command on its way to its session.
struct WaitingCommand {
  const v1::SessionCommand& get() const { return kept.has_value() ? *kept : *seen; }

  const v1::SessionCommand* seen = nullptr;
  std::optional<v1::SessionCommand> kept;  // One that waits until its session is open.
  absl::Time received;
  bool one_too_many = false;  // It takes its turn, only to be refused.
};

// Why a session left.
struct SessionLeft {
  absl::Status status;
  SessionErrorReason reason = SessionErrorReason::kNone;
  uint64_t epoch = 0;
};

class StreamHandles {
 public:
  static uint32_t HandleOf(uint64_t serial) { return static_cast<uint32_t>(serial); }

  // Takes `handle`, or one of its own choice where 0, for a session that opens, and
  // answers the hold's serial; 0 where the handle is in use.
  uint64_t Take(uint32_t handle);
  // The serial of the hold of `handle`; 0 where there is none.
  uint64_t SerialOf(uint32_t handle) const;
  // Null where the hold was released, and for 0. Good until the next Take.
  StreamHold* Find(uint64_t serial);
  void Release(uint64_t serial);
  // The serials of the holds that are open.
  std::vector<uint64_t> Open() const;

  // Keeps a command for the session of an opening hold. Of those that are more than may
  // wait the first is kept, to be refused in its turn; false for the others.
  bool Wait(uint64_t serial, const v1::SessionCommand& command, absl::Time received);
  // What waits, in its order; also of a hold that was released.
  std::vector<WaitingCommand> TakeWaiting(uint64_t serial);

  // The session of an opening hold left before its open was answered: for TakeLeft,
  // right after the answer.
  void LeaveEarly(uint64_t serial, SessionLeft left);
  std::optional<SessionLeft> TakeLeft(uint64_t serial);

 private:
  absl::flat_hash_map<uint32_t, StreamHold> by_handle_;
  // As many operations as a session may have in flight.
  static constexpr size_t kMostWaiting = 64;

  absl::flat_hash_map<uint64_t, SessionLeft> left_early_;  // By serial, as the next.
  absl::flat_hash_map<uint64_t, std::vector<WaitingCommand>> waiting_;
  uint32_t last_number_ = 0;
  uint32_t next_handle_ = 1;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_HANDLES_H_

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

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/session/session.h"
#include "core/session/session_op.h"

namespace gruserve::server {

// One session's hold by this stream.
// Legal transitions: opening -> open -> closing -> released; any -> released.
struct StreamHold {
  enum class State : uint8_t { kOpening, kOpen, kClosing };

  std::shared_ptr<Session> session;  // Null while opening.
  uint32_t number = 0;               // The upper half of its serial; at least 1.
  State state = State::kOpening;
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

  // The session of an opening hold left before its open was answered: for TakeLeft,
  // right after the answer.
  void LeaveEarly(uint64_t serial, SessionLeft left);
  std::optional<SessionLeft> TakeLeft(uint64_t serial);

 private:
  absl::flat_hash_map<uint32_t, StreamHold> by_handle_;
  absl::flat_hash_map<uint64_t, SessionLeft> left_early_;  // By serial.
  uint32_t last_number_ = 0;
  uint32_t next_handle_ = 1;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_HANDLES_H_

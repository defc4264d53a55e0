// The sessions of one stream, by the handles that its client knows.
//
// A handle may be used again once its session has left; results of the old
// session may still be under way then. So each hold has a serial of its own,
// which operations carry as their tag. Not thread-safe: the stream's lock
// guards it.

#ifndef GRUSERVE_SERVER_STREAM_HANDLES_H_
#define GRUSERVE_SERVER_STREAM_HANDLES_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/session/session.h"
#include "core/session/session_op.h"

namespace gruserve::server {

// One session's hold by this stream.
// Legal transitions: opening -> open -> closing -> released; any -> released.
struct StreamHold {
  enum class State { kOpening, kOpen, kClosing };

  uint32_t handle = 0;
  uint32_t serial = 0;
  State state = State::kOpening;
  std::shared_ptr<Session> session;  // Null while opening.
  // The session left before its open was answered: told right after the answer.
  struct Left {
    absl::Status status;
    SessionErrorReason reason = SessionErrorReason::kNone;
    uint64_t epoch = 0;
  };
  std::unique_ptr<Left> left_early;
};

class StreamHandles {
 public:
  // Takes `handle`, or one of its own choice where 0, for a session that opens.
  // Null where the handle is in use. Pointers are good until the next Take.
  StreamHold* Take(uint32_t handle);
  StreamHold* FindHandle(uint32_t handle);
  // Null where the hold was released.
  StreamHold* FindSerial(uint32_t serial);
  void Release(uint32_t serial);

 private:
  absl::flat_hash_map<uint32_t, StreamHold> by_serial_;
  absl::flat_hash_map<uint32_t, uint32_t> serial_by_handle_;
  uint32_t next_serial_ = 1;
  uint32_t next_handle_ = 1;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_HANDLES_H_

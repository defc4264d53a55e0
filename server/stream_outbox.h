// What a stream owes its reader: events, grouped into messages as they wait.
//
// All that is ready goes into one message, up to a bound, while another is on
// its way. Messages live on arenas of their own and are used again. Not
// thread-safe: the stream's lock guards it.

#ifndef GRUSERVE_SERVER_STREAM_OUTBOX_H_
#define GRUSERVE_SERVER_STREAM_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "gruserve/v1/inference_service.pb.h"
#include "server/message_arena.h"

namespace gruserve::server {

class StreamOutbox {
 public:
  // A message takes no further event once it has this many, or this many bytes.
  static constexpr int kMaxEvents = 1024;
  static constexpr int64_t kMaxBytes = int64_t{256} << 10;

  // Adds an event that holds about `payload_bytes`, for the caller to fill in
  // before anything else is called.
  v1::SessionEvent* Add(int64_t payload_bytes);

  // Whether an event waits that is not on its way yet.
  bool has_next() const { return !waiting_.empty(); }
  // Puts the next message on its way. It lives until EndMessage.
  // REQUIRES: has_next(), and none is on its way.
  const v1::StreamStepsResponse* BeginMessage();
  // The message on its way has left.
  void EndMessage();
  // Forgets what waits.
  void DropWaiting();

  // About as many bytes of events wait or are on their way.
  int64_t bytes_owed() const { return bytes_owed_; }

 private:
  struct Message {
    MessageArena<v1::StreamStepsResponse> response;
    int64_t bytes = 0;
  };

  std::deque<std::unique_ptr<Message>> waiting_;
  std::unique_ptr<Message> on_its_way_;
  std::unique_ptr<Message> spare_;
  int64_t bytes_owed_ = 0;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STREAM_OUTBOX_H_

// The operations of one session of a stream, from the call to the answer.
//
// What waits here goes out while there are credits; what is out is answered in
// order, one event each. A later replay after a reconnect has its place here:
// an operation could keep its command until it is answered, or durable.
// Not thread-safe: the stream's lock guards it.

#ifndef GRUSERVE_CLIENT_WIRE_SESSION_QUEUE_H_
#define GRUSERVE_CLIENT_WIRE_SESSION_QUEUE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gruserve/v1/inference_service.pb.h"

namespace gruserve::client {

using EventCallback = std::function<void(absl::StatusOr<v1::SessionEvent>)>;

// An answer that has come, to be given out when no lock is held.
struct Completion {
  EventCallback done;
  absl::StatusOr<v1::SessionEvent> event;
};

class SessionQueue {
 public:
  struct Operation {
    v1::SessionCommand command;  // Until it is sent.
    EventCallback done;
    absl::Status refused;  // Not OK: what the caller hears in place of the server's error.
  };

  // Why the session ended; OK while it lives.
  const absl::Status& status() const { return status_; }
  bool has_room() const { return static_cast<int64_t>(waiting_.size() + sent_.size()) < max_inflight_; }

  // REQUIRES: status() is OK.
  void Push(Operation operation) { waiting_.push_back(std::move(operation)); }
  // The next command that may be sent now, if any.
  std::optional<v1::SessionCommand> TakeSendable();
  // Operations that are not sent yet.
  size_t waiting() const { return waiting_.size(); }

  // Matches an event with the operation that it answers. An error that detaches
  // the session ends it and all that was under way; so does its close.
  void OnEvent(v1::SessionEvent event, std::vector<Completion>* completions);
  // Ends the session: everything without an answer gets `status`.
  void Fail(const absl::Status& status, std::vector<Completion>* completions);

 private:
  std::deque<Operation> waiting_;
  std::deque<Operation> sent_;
  int64_t max_inflight_ = 1;  // One until the open is answered: the open itself.
  absl::Status status_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_WIRE_SESSION_QUEUE_H_

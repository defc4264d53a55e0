// A session that outlives its connections and servers. It numbers its operations,
// keeps those that may have to be sent again, and when a stream breaks, a server
// drains, hangs or dies, resumes on the next replica and sends them. The caller gets
// each answer once and in order, with the bits of a run that nothing interrupted, or
// an error that says what is lost.
//
//   absl::StatusOr<gc::Client> a = gc::Client::Connect("a:50051"), b = gc::Client::Connect("b:50051");
//   auto session = gc::ResilientSession::Open({*a, *b}, {.model = "demo"});
//   if (!session.ok()) return session.status();
//   for (const std::vector<float>& x : rows) {
//     absl::StatusOr<gc::StepResult> y = (*session)->Step({{3}, x});
//     if (!y.ok()) return y.status();
//   }
//   return (*session)->Close().status();
//
// To have several operations under way: Send each, and take answers with Receive.
//
// What it needs of the server: a session that survives the fault, so durability ASYNC
// or SYNC for faults of a server, and remember_steps of at least as many steps as are
// under way at once (Open sees to it, up to 64). A chunk counts as its steps there: one
// of more than 64 whose answer is lost is a DataLoss.

#ifndef GRUSERVE_CLIENT_RESILIENT_SESSION_H_
#define GRUSERVE_CLIENT_RESILIENT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/session_info.h"
#include "client/step_stream.h"
#include "client/tensor.h"

namespace gruserve::client {

struct ResilientOptions {
  // Steps that the caller has under way at once, 1 to 64.
  uint32_t window = 1;
  // A server that answers nothing for so long is taken for dead.
  absl::Duration answer_timeout = absl::Seconds(5);
  // How long a fault may last before the caller hears of it.
  absl::Duration give_up = absl::Minutes(2);
  // Between two tries, doubled each time, with jitter.
  absl::Duration least_backoff = absl::Milliseconds(10);
  absl::Duration most_backoff = absl::Seconds(1);
};

// What faults have cost so far.
struct ResilientCounters {
  int64_t breaks = 0;            // Streams lost, or servers given up.
  int64_t sent_again = 0;        // Operations.
  int64_t replayed = 0;          // Answers from a server's memory.
  absl::Duration longest_pause;  // From noticing a fault to being resumed.
};

// Not thread-safe.
class ResilientSession {
 public:
  // Opens `open` on the first replica that takes it. An empty session_id is filled in.
  // InvalidArgument: no replica, a window out of range, close_with_stream. Otherwise as
  // StepStream::Open; a replica that cannot be reached is passed over until `give_up`.
  static absl::StatusOr<std::unique_ptr<ResilientSession>> Open(std::vector<Client> replicas,
                                                                OpenOptions open,
                                                                ResilientOptions options = {});
  ~ResilientSession();

  // As the last open or resume answered.
  const SessionInfo& info() const;
  const ResilientCounters& counters() const;
  // Which of the replicas has it.
  size_t replica() const;

  // One step or chunk, or one state (empty: what the session began with), and its
  // answer. REQUIRES: nothing else is under way.
  absl::StatusOr<StepResult> Step(const Tensor& input);
  absl::StatusOr<StepResult> SetState(const Tensor& state);
  // The state after an earlier operation, as StreamSession::Rewind says.
  absl::StatusOr<StepResult> Rewind(int64_t step);

  // Puts an operation behind those under way; waits for nothing.
  void Send(Tensor input);
  void SendState(Tensor state);
  void SendRewind(int64_t step);
  // The next answer; a state's has no output. An error of the operation itself, such as
  // a wrong shape, is given in its turn, and the session goes on. Any other error is
  // final: what had no answer then never gets one.
  absl::StatusOr<StepResult> Receive();
  // Operations without an answer yet.
  int64_t under_way() const;

  // Waits for what is under way, drops its answers, and ends the session.
  absl::Status Close();

  class Machine;

 private:
  explicit ResilientSession(std::unique_ptr<Machine> machine);

  const std::unique_ptr<Machine> machine_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_RESILIENT_SESSION_H_

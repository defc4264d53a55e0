// How sessions are opened and described, and what their errors carry. Plain
// values; see session.proto for the meaning of each field.

#ifndef GRUSERVE_CLIENT_SESSION_INFO_H_
#define GRUSERVE_CLIENT_SESSION_INFO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/model_info.h"
#include "client/tensor.h"

namespace gruserve::client {

enum class OpenMode {
  kCreate,          // AlreadyExists if the id is live.
  kResume,          // NotFound if the id is unknown or expired.
  kCreateOrResume,  // Whichever fits.
};

// What of a session outlives its server.
enum class Durability { kServerDefault, kNone, kAsync, kSync };

// See RealTime in session.proto.
struct RealTimeContract {
  absl::Duration period;
  absl::Duration deadline;  // Zero: the period.
};

struct OpenOptions {
  ModelSpec model;         // Required to create.
  std::string session_id;  // Empty: the server mints one.
  OpenMode mode = OpenMode::kCreate;
  int64_t batch_size = 0;           // 0: unbatched, a step is [I]. n: a step is [n, I].
  std::optional<Tensor> h_0;        // Zeros where absent.
  std::vector<NamedTensor> states;  // In place of h_0, for models of several states.
  bool close_with_stream = false;   // Close it with the stream, with no grace.
  bool take_over = false;           // Resume it even from another client's stream.
  Durability durability = Durability::kServerDefault;
  uint32_t remember_steps = 0;  // Responses that the server keeps for repeated steps.
  uint32_t keep_states = 0;     // Operations whose states the server keeps, to rewind to.
  std::optional<RealTimeContract> real_time;
};

// What ImportSession opens.
struct ImportOptions {
  std::string session_id;          // Empty: the server mints one.
  std::optional<ModelSpec> model;  // To go on with; absent: the one of the checkpoint, with the same weights.
  Durability durability = Durability::kServerDefault;
};

// What ForkSession opens.
struct ForkOptions {
  int count = 1;
  std::vector<std::string> fork_ids;                   // As many as `count`; none: the server mints them.
  Durability durability = Durability::kServerDefault;  // The server's default: as the session has it.
};

struct SessionInfo {
  std::string session_id;
  ModelSpec model;
  int64_t batch_size = 0;
  uint64_t epoch = 0;
  int64_t next_step = 0;
  int64_t durable_step = 0;
  uint32_t max_inflight = 0;
  uint64_t max_undurable = 0;
  bool attached = false;
  int64_t memory_bytes = 0;
  absl::Duration age;           // On this server.
  absl::Duration idle;          // Since its last operation was done.
  absl::Duration last_latency;  // Of that, from its arrival to its result.
  int64_t queued = 0;           // Operations that wait or run now.
  Durability durability = Durability::kServerDefault;
  std::optional<RealTimeContract> real_time;
  int64_t late_steps = 0;
  uint32_t remember_steps = 0;
  uint32_t keep_states = 0;
  uint64_t input_digest = 0;  // See core/base/input_digest.h; 0 without a store.
  bool bit_exact = true;
};

// Why an operation of a session failed, where the status code leaves it open.
enum class SessionErrorReason {
  kNone,
  kBarrier,      // An earlier operation failed: see `expected_step`.
  kIndex,        // The index is not the next one.
  kFenced,       // Another stream resumed the session.
  kEvictedIdle,  // Idle for too long: the session is gone.
  kCredits,      // More in flight than allowed.
  kBudget,       // The session memory budget is spent, or the time for real-time contracts.
  kDraining,     // The server is shutting down.
  kMoved,        // As kFenced, by this client: another of its streams, or an open that came late.
  // Its model version was replaced or unloaded for too long: the session is gone.
  kVersionRetired,
};

struct SessionError {
  SessionErrorReason reason = SessionErrorReason::kNone;
  int64_t index = 0;           // Of the failed operation; 0 where it never had one.
  int64_t expected_step = 0;   // The index the session waits for; 0 where it is not open.
  absl::Duration retry_after;  // Zero: no hint.
  uint64_t epoch = 0;          // The new one, where fenced.
  bool detached = false;       // The session is no longer open on its stream.
  int64_t durable_step = 0;
};

// What a stream's session said with the error `status`; nothing where `status`
// did not come from a session (a broken stream, for example).
std::optional<SessionError> SessionErrorOf(const absl::Status& status);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_SESSION_INFO_H_

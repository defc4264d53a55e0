// One server-held conversation: a pinned model, a hidden state, and the log of
// operations that moved it.
//
// Thread-safe. At most one operation runs at a time; the others wait in order.
// Ownership is the lock: while an operation runs, the state rows belong to the
// executor. No lock is held over compute or while a sink is called.

#ifndef GRUSERVE_CORE_SESSION_SESSION_H_
#define GRUSERVE_CORE_SESSION_SESSION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/runtime/loaded_model.h"
#include "core/session/session_op.h"
#include "core/session/step_ledger.h"

namespace gruserve {

// A session described at one moment.
struct SessionDescription {
  std::string id;
  std::string model_name;
  int64_t model_version = 0;
  int64_t batch_size = 0;  // 0: unbatched.
  uint64_t epoch = 0;
  int64_t next_step = 1;
  int64_t durable_step = 0;
  int64_t max_inflight = 0;
  bool attached = false;
  int64_t memory_bytes = 0;
  absl::Duration idle;
};

// A session's hold by one stream.
struct SessionAttachment {
  std::shared_ptr<SessionSink> sink;
  uint32_t handle = 0;          // The session's number on that stream.
  std::string client_instance;  // As its open said; may be empty.
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  ~Session();

  // Constant for the session's life.
  const std::string& id() const;
  const ModelHandle& model() const;
  // 0: unbatched; n: rows.
  int64_t batch_size() const;
  // Batch rows: 1 where unbatched.
  int64_t rows() const;

  // Queues `op`; its result goes to `sink`, in order. Never fails: a refusal
  // (credits, barrier, closed) is a result as well.
  void Submit(SessionOp op, std::shared_ptr<SessionSink> sink) ABSL_LOCKS_EXCLUDED(mu_);

  // Calls `done` between two operations with the description and the hidden
  // state [layers, rows, H].
  void ReadState(std::function<void(SessionDescription, std::vector<float>)> done) ABSL_LOCKS_EXCLUDED(mu_);

  SessionDescription Describe() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class SessionTable;
  mutable absl::Mutex mu_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_H_

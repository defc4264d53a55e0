// What a session that a store stands behind keeps of that: whose record it is, how
// far it is durable, and the results that wait for it. And who looks after the record.

#ifndef GRUSERVE_CORE_SESSION_SESSION_DURABILITY_H_
#define GRUSERVE_CORE_SESSION_SESSION_DURABILITY_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "core/session/session_op.h"
#include "core/store/checkpoint.h"
#include "core/store/session_store.h"

namespace gruserve {

class Session;

// A result that is given once all up to `needs` is durable, and after those before it.
struct HeldResult {
  SessionOp op;
  SessionOpResult result;
  std::shared_ptr<SessionSink> sink;
  int64_t needs = 0;
  bool in_flight = false;
};

// Not thread-safe: the session's lock guards it.
struct SessionDurability {
  Durability mode = Durability::kAsync;
  // The claim on the record.
  uint64_t epoch = 0;
  std::string owner;
  int64_t max_undurable = 0;  // Places of the log that may be ahead of durable_step; 0: no limit.

  int64_t durable_step = 0;
  uint64_t input_digest = 0;  // Of all that was applied.
  bool moved = false;         // Since the last checkpoint was asked for.
  bool recreate = false;      // The record was missing.
  bool lost = false;          // Another owner has it: what is not durable never will be.
  std::deque<HeldResult> held;
  bool delivering = false;  // Some thread gives held results.
};

// Names one life of a session: no two are equal. It ends in who the client is, where it
// says so (else it is empty).
std::string MintStoreOwner(const std::string& client_instance);
// Whether the same client is behind both.
bool SameClient(const std::string& owner, const std::string& other);

// Writes the checkpoints of sessions. Called with no lock held; thread-safe.
class SessionKeeper {
 public:
  virtual ~SessionKeeper() = default;

  // `session` moved on; not told again until its next checkpoint was taken.
  virtual void OnMoved(std::shared_ptr<Session> session) = 0;
  // A result of `session` waits until `checkpoint` is durable.
  virtual void OnCheckpoint(std::shared_ptr<Session> session, Checkpoint checkpoint) = 0;
  // The session is closed: its record is of no more use.
  virtual void OnClosed(const StoreClaim& claim) = 0;
  // It left memory; its record stays, for whoever resumes it.
  virtual void OnEvicted(const StoreClaim& claim) = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_DURABILITY_H_

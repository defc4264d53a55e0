// Where checkpoints of sessions are kept, and which server may write them.
//
// A record is an id with an epoch, an owner, the newest checkpoint and the one before
// it. Acquiring a record raises its epoch and puts the caller's owner in its place, in
// one atomic step; every later write names both and is refused where either differs.
// So of two servers that believe to have a session only the later one can write.
//
// Thread-safe. Every call blocks, on a disk or a network: calls are made from threads
// of their own, never from one that computes or that gRPC lent.

#ifndef GRUSERVE_CORE_STORE_SESSION_STORE_H_
#define GRUSERVE_CORE_STORE_SESSION_STORE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/store/checkpoint.h"

namespace gruserve {

enum class StoreOutcome {
  kOk,
  kExists,       // Acquire to create: the id is there already.
  kAbsent,       // No such record: it expired, was deleted, or never was.
  kFenced,       // Another epoch or owner has the record.
  kStale,        // The record is at a later step already.
  kDamaged,      // No checkpoint of the record can be read.
  kUnavailable,  // The store cannot be reached or cannot write; later it may.
};

// What survives of that which a store has acknowledged.
enum class DurabilityClass {
  kMemory,        // Nothing but a restart of this server; a second or so of the store may go.
  kProcessCrash,  // The end of any process.
  kPowerLoss,     // The loss of power as well.
};

const char* Name(StoreOutcome outcome);
const char* Name(DurabilityClass durability);

enum class AcquireMode { kCreate, kResume, kCreateOrResume };

struct AcquireRequest {
  std::string id;
  AcquireMode mode = AcquireMode::kCreate;
  // Names one life of the session in one server: no other Acquire has the same.
  std::string owner;
  // What a record that is created begins with, encoded, at this step.
  std::string first_checkpoint;
  int64_t first_step = 0;
  absl::Duration ttl = absl::Hours(1);
};

struct Acquired {
  StoreOutcome outcome = StoreOutcome::kUnavailable;
  std::string message;  // Where not kOk.
  bool created = false;
  uint64_t epoch = 0;
  // Whose record it was until now, where it was there: a server that acquires what it
  // has already learns here whether anybody else had it meanwhile.
  uint64_t previous_epoch = 0;
  std::string previous_owner;
  // Of a record that was there: its newest checkpoint that can be read. With
  // kDamaged the epoch has risen and there is none.
  std::optional<Checkpoint> checkpoint;
  bool fell_back = false;  // The newest could not be read; this is the one before.
};

// One session's part in a batch. `epoch` and `owner` as acquired.
struct StoreClaim {
  std::string id;
  uint64_t epoch = 0;
  std::string owner;
};

struct StorePut {
  StoreClaim claim;
  int64_t step = 0;
  std::string checkpoint;  // Encoded.
  absl::Duration ttl = absl::Hours(1);
  // Makes an absent record anew, under the claim's epoch.
  bool recreate = false;
};

struct StoreResult {
  StoreOutcome outcome = StoreOutcome::kUnavailable;
  std::string message;  // Where not kOk.
  uint64_t epoch = 0;   // Where kFenced: the record's,
  std::string owner;    // and its owner.
};

struct StoredSession {
  std::string id;
  uint64_t epoch = 0;
  std::string owner;  // Empty: released.
  int64_t step = 0;
};

struct StoredPage {
  std::vector<StoredSession> sessions;
  std::string next;  // Empty: there are no more.
};

class SessionStore {
 public:
  virtual ~SessionStore() = default;

  // Creates or takes over records, each on its own terms and in their order, together
  // where the store can: kOk, kExists, kAbsent, kDamaged, kUnavailable. The first epoch
  // is 1. Asking again after an answer that was lost does no harm. As many results as
  // requests.
  virtual std::vector<Acquired> AcquireBatch(std::span<const AcquireRequest> requests) = 0;
  Acquired Acquire(const AcquireRequest& request) { return std::move(AcquireBatch({&request, 1}).front()); }

  // Writes checkpoints, each on its own terms, together where the store can: kOk (it
  // is as durable as the store makes it), kAbsent, kFenced, kStale, kUnavailable
  // (then it may have been written all the same; writing it again does no harm). It
  // also renews the time to live. As many results as puts.
  virtual std::vector<StoreResult> PutBatch(std::span<const StorePut> puts) = 0;

  // Lets records live for `ttl` from now: kOk, kAbsent, kFenced, kUnavailable.
  virtual std::vector<StoreResult> Renew(std::span<const StoreClaim> claims, absl::Duration ttl) = 0;

  // Gives the record up, for anyone to resume: kOk, kAbsent, kFenced, kUnavailable.
  virtual StoreResult Release(const StoreClaim& claim) = 0;
  virtual StoreResult Delete(const StoreClaim& claim) = 0;

  // Without acquiring it: kOk, kAbsent, kDamaged, kUnavailable. `created` is false.
  virtual Acquired Get(const std::string& id) = 0;

  // Some records, in no particular order; `next` of the last page, empty at first. A
  // record that is there throughout comes at least once.
  virtual absl::StatusOr<StoredPage> List(const std::string& next, int64_t limit) = 0;

  virtual DurabilityClass durability() const = 0;
  // What to call it in a log line: no secrets in it.
  virtual std::string description() const = 0;
};

// Puts the checkpoint that can be read, of the newest and the one before, into
// `acquired`, or says that there is none. For stores.
void ChooseCheckpoint(const std::string& newest, const std::string& previous, Acquired* acquired);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_SESSION_STORE_H_

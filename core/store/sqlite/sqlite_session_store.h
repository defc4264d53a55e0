// Session records in one SQLite file, in WAL mode: for one machine.
//
// A batch is one transaction, made durable by one sync of the file. Servers on one
// machine may share the file. After an error of the disk the next call opens the file
// anew, so that the store is back when the disk is.

#ifndef GRUSERVE_CORE_STORE_SQLITE_SQLITE_SESSION_STORE_H_
#define GRUSERVE_CORE_STORE_SQLITE_SQLITE_SESSION_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/store/session_store.h"

namespace gruserve {

class SqliteSessionStore : public SessionStore {
 public:
  // Opens the file, or makes it, and checks it wholly. `clock` is asked for the time
  // to live only, and must outlive the store.
  //   Unavailable         it cannot be opened or written
  //   DataLoss            it is damaged, or no database at all
  //   FailedPrecondition  it is another program's, or a later version's
  static absl::StatusOr<std::unique_ptr<SqliteSessionStore>> Open(const std::string& path, Clock* clock);
  ~SqliteSessionStore() override;

  std::vector<Acquired> AcquireBatch(std::span<const AcquireRequest> requests) override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<StoreResult> PutBatch(std::span<const StorePut> puts) override ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<StoreResult> Renew(std::span<const StoreClaim> claims, absl::Duration ttl) override
      ABSL_LOCKS_EXCLUDED(mu_);
  StoreResult Release(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);
  StoreResult Delete(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);
  Acquired Get(const std::string& id) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<StoredPage> List(const std::string& next, int64_t limit) override ABSL_LOCKS_EXCLUDED(mu_);
  DurabilityClass durability() const override { return DurabilityClass::kPowerLoss; }
  std::string description() const override;

 private:
  struct Connection;

  SqliteSessionStore(std::string path, Clock* clock);

  // Runs `body` in one transaction, on the connection or on a new one. Where it
  // answers an error nothing has happened.
  absl::Status Transact(const std::function<absl::Status(Connection&)>& body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t Now() const;
  int64_t Expiry(absl::Duration ttl) const;
  absl::Status AcquireIn(Connection& connection, const AcquireRequest& request, Acquired* acquired);
  absl::Status PutIn(Connection& connection, const StorePut& put, StoreResult* result);
  // Whether the claim holds; kOk, kAbsent or kFenced.
  absl::Status CheckIn(Connection& connection, const StoreClaim& claim, StoreResult* result, int64_t* step);
  StoreResult Change(const StoreClaim& claim, bool remove) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  const std::string path_;
  Clock* const clock_;

  absl::Mutex mu_;
  // Null after an error, until the next call.
  std::unique_ptr<Connection> connection_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_SQLITE_SQLITE_SESSION_STORE_H_

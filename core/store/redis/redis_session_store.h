// Session records in Redis or Valkey: for many servers.
//
// A record is one hash, `gs:{:ID}` (its tenant goes before the second colon), with
// epoch, owner, step, the newest checkpoint and the one before. What must be one step
// is one script, so that the server alone decides who may write. Commands of a batch
// go out together. After an error of the connection the next call connects anew.

#ifndef GRUSERVE_CORE_STORE_REDIS_REDIS_SESSION_STORE_H_
#define GRUSERVE_CORE_STORE_REDIS_REDIS_SESSION_STORE_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/store/redis/redis_connection.h"
#include "core/store/session_store.h"

namespace gruserve {

class RedisSessionStore : public SessionStore {
 public:
  // Connects once, to see that it can.
  //   Unavailable       there is no server, or it cannot serve
  //   PermissionDenied  wrong user or password
  static absl::StatusOr<std::unique_ptr<RedisSessionStore>> Open(const RedisAddress& address);

  std::vector<Acquired> AcquireBatch(std::span<const AcquireRequest> requests) override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<StoreResult> PutBatch(std::span<const StorePut> puts) override ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<StoreResult> Renew(std::span<const StoreClaim> claims, absl::Duration ttl) override
      ABSL_LOCKS_EXCLUDED(mu_);
  StoreResult Release(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);
  StoreResult Delete(const StoreClaim& claim) override ABSL_LOCKS_EXCLUDED(mu_);
  Acquired Get(const std::string& id) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<StoredPage> List(const std::string& next, int64_t limit) override ABSL_LOCKS_EXCLUDED(mu_);
  // As the server said when it was opened: with `appendfsync always` an answer outlives
  // the loss of power. Else, or where it does not say, up to a second may be lost.
  DurabilityClass durability() const override { return durability_; }
  std::string description() const override;

 private:
  explicit RedisSessionStore(RedisAddress address) : address_(std::move(address)) {}

  // One exchange on the connection, or on a new one.
  absl::StatusOr<std::vector<RedisReply>> Exchange(const std::vector<RedisCommand>& commands)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The same of calls of the scripts, as one transaction.
  absl::StatusOr<std::vector<RedisReply>> RunScripts(const std::vector<RedisCommand>& calls)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LoadScripts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Somebody flushed the scripts: what was refused for it, and only that, goes out again.
  absl::Status RepeatWithScripts(const std::vector<RedisCommand>& calls, std::vector<RedisReply>& replies)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<StoreResult> Run(const std::vector<RedisCommand>& commands) ABSL_LOCKS_EXCLUDED(mu_);
  StoreResult Touch(const StoreClaim& claim, const char* what) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after Open.
  const RedisAddress address_;
  DurabilityClass durability_ = DurabilityClass::kMemory;

  absl::Mutex mu_;
  std::unique_ptr<RedisConnection> connection_ ABSL_GUARDED_BY(mu_);  // Null after an error.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_STORE_REDIS_REDIS_SESSION_STORE_H_

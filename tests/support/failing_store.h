// A session store that a test can take away, in front of a real one. Thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_FAILING_STORE_H_
#define GRUSERVE_TESTS_SUPPORT_FAILING_STORE_H_

#include <atomic>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/store/session_store.h"

namespace gruserve {

class FailingStore : public SessionStore {
 public:
  // REQUIRES: `store` outlives it.
  explicit FailingStore(SessionStore* store) : store_(store) {}

  // While it is so, nothing is reached and every call says kUnavailable.
  void set_down(bool down) { down_ = down; }

  std::vector<Acquired> AcquireBatch(std::span<const AcquireRequest> requests) override {
    if (!down_) return store_->AcquireBatch(requests);
    std::vector<Acquired> acquired(requests.size());
    for (Acquired& one : acquired) one.message = "taken away";
    return acquired;
  }
  std::vector<StoreResult> PutBatch(std::span<const StorePut> puts) override {
    return down_ ? Refused(puts.size()) : store_->PutBatch(puts);
  }
  std::vector<StoreResult> Renew(std::span<const StoreClaim> claims, absl::Duration ttl) override {
    return down_ ? Refused(claims.size()) : store_->Renew(claims, ttl);
  }
  StoreResult Release(const StoreClaim& claim) override {
    return down_ ? Refused(1).front() : store_->Release(claim);
  }
  StoreResult Delete(const StoreClaim& claim) override {
    return down_ ? Refused(1).front() : store_->Delete(claim);
  }
  Acquired Get(const std::string& id) override { return down_ ? Acquired{} : store_->Get(id); }
  absl::StatusOr<StoredPage> List(const std::string& next, int64_t limit) override {
    if (down_) return absl::UnavailableError("taken away");
    return store_->List(next, limit);
  }
  DurabilityClass durability() const override { return store_->durability(); }
  std::string description() const override { return store_->description(); }

 private:
  static std::vector<StoreResult> Refused(size_t count) {
    return std::vector<StoreResult>(count, {StoreOutcome::kUnavailable, "taken away", 0, ""});
  }

  SessionStore* const store_;
  std::atomic<bool> down_ = false;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_FAILING_STORE_H_

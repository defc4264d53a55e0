// Remembers for a while which sessions were evicted, so that NOT_FOUND can say
// why. Bounded in time and number; the oldest go first.
//
// Not thread-safe.

#ifndef GRUSERVE_CORE_SESSION_EVICTED_IDS_H_
#define GRUSERVE_CORE_SESSION_EVICTED_IDS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace gruserve {

// Which time ran out: its own, that without a stream, or that of its model version; or
// that it was asked for.
enum class EvictionCause { kIdle, kGrace, kRetired, kDemand };

class EvictedIds {
 public:
  EvictedIds(absl::Duration keep, int64_t most) : keep_(keep), most_(static_cast<size_t>(most)) {}

  void Add(const std::string& id, EvictionCause cause, absl::Time now);
  // The id is in use again.
  void Remove(const std::string& id) { causes_.erase(id); }
  // Null where it is not remembered (any more); valid until the next call.
  const EvictionCause* Find(const std::string& id, absl::Time now);

  size_t size() const { return causes_.size(); }

 private:
  struct Eviction {
    absl::Time at;
    std::string id;
    uint64_t number = 0;
  };
  struct Remembered {
    EvictionCause cause = EvictionCause::kIdle;
    uint64_t number = 0;  // Of its latest eviction: older ones of the id are stale.
  };

  void ForgetOld(absl::Time now);

  const absl::Duration keep_;
  const size_t most_;
  uint64_t next_number_ = 0;
  std::deque<Eviction> by_age_;
  absl::flat_hash_map<std::string, Remembered> causes_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_EVICTED_IDS_H_

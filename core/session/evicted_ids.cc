#include "core/session/evicted_ids.h"

namespace gruserve {

void EvictedIds::Add(const std::string& id, EvictionCause cause, absl::Time now) {
  causes_[id] = {cause, next_number_};
  by_age_.push_back({now, id, next_number_++});
  ForgetOld(now);
}

const EvictionCause* EvictedIds::Find(const std::string& id, absl::Time now) {
  ForgetOld(now);
  const auto found = causes_.find(id);
  return found == causes_.end() ? nullptr : &found->second.cause;
}

void EvictedIds::ForgetOld(absl::Time now) {
  while (!by_age_.empty() && (by_age_.size() > most_ || by_age_.front().at + keep_ <= now)) {
    const auto found = causes_.find(by_age_.front().id);
    if (found != causes_.end() && found->second.number == by_age_.front().number) causes_.erase(found);
    by_age_.pop_front();
  }
}

}  // namespace gruserve

#include "core/session/session_roster.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

// Time that stands still would end a busy session for ever again.
constexpr absl::Duration kShortestTtl = absl::Milliseconds(1);

// kNever where that is, or is out of reach.
int64_t Nanos(absl::Time time) {
  constexpr int64_t kLast = SessionRoster::kNever - 1;
  if (time >= absl::FromUnixNanos(kLast)) return SessionRoster::kNever;
  return absl::ToUnixNanos(time);
}

absl::Time TimeOf(int64_t nanos) {
  return nanos == SessionRoster::kNever ? absl::InfiniteFuture() : absl::FromUnixNanos(nanos);
}

}  // namespace

SessionRoster::SessionRoster(const SessionTable::Options& options, Clock* clock)
    : options_(options),
      idle_ttl_(std::max(options.idle_ttl, kShortestTtl)),
      grace_(std::max(options.grace, kShortestTtl)),
      clock_(clock),
      evicted_(options.remember_evicted, options.max_remembered) {}

SessionRoster::Entry* SessionRoster::Find(const std::string& id) {
  const auto found = entries_.find(CompactSessionId(id));
  return found == entries_.end() ? nullptr : found->get();
}

SessionRoster::Entry* SessionRoster::EntryOf(const Session& session) {
  const auto found = entries_.find(session.compact_id());
  return found != entries_.end() && (*found)->session.get() == &session ? found->get() : nullptr;
}

absl::Status SessionRoster::EvictedStatus(const std::string& id, EvictionCause cause) const {
  if (cause == EvictionCause::kGrace) {
    return absl::NotFoundError(absl::StrCat("session \"", id,
                                            "\" was evicted: its stream ended and none resumed it within ",
                                            absl::FormatDuration(grace_)));
  }
  if (cause == EvictionCause::kDemand) {
    return absl::NotFoundError(absl::StrCat("session \"", id, "\" was evicted by EvictSession"));
  }
  if (cause == EvictionCause::kRetired) {
    return absl::NotFoundError(
        absl::StrCat("session \"", id, "\" was ended: its model version was replaced or unloaded"));
  }
  return absl::NotFoundError(absl::StrCat("session \"", id, "\" was evicted: no operation completed for ",
                                          absl::FormatDuration(idle_ttl_)));
}

absl::Status SessionRoster::NotFound(const std::string& id) {
  const EvictionCause* cause = evicted_.Find(id, clock_->Now());
  if (cause != nullptr) return EvictedStatus(id, *cause);
  return absl::NotFoundError(absl::StrCat("session \"", id, "\" is not open here"));
}

absl::Status SessionRoster::Charge(int64_t bytes) {
  if (bytes > options_.memory_bytes - counters.memory_bytes) {
    ++counters.refused_budget;
    return absl::ResourceExhaustedError(
        absl::StrCat("the session takes ", bytes, " bytes; ", options_.memory_bytes - counters.memory_bytes,
                     " of ", options_.memory_bytes, " bytes of the session memory budget are left"));
  }
  counters.memory_bytes += bytes;
  return absl::OkStatus();
}

void SessionRoster::Add(std::shared_ptr<Session> session, SessionAttachment attachment) {
  evicted_.Remove(session->id());
  auto owned = std::make_unique<Entry>();
  Entry* const entry = owned.get();
  entry->session = std::move(session);
  const bool added = entries_.insert(std::move(owned)).second;
  assert(added);
  static_cast<void>(added);
  Attach(entry, std::move(attachment));
  SetDue(entry, Nanos(clock_->Now() + idle_ttl_));
  ++counters.opened;
  ++counters.live;
}

SessionRoster::Entry SessionRoster::Remove(Entry* entry) {
  Entry removed;
  removed.attachment = Attach(entry, {});
  SetDue(entry, kNever);
  removed.session = entry->session;
  Refund(removed.session->memory_bytes());
  --counters.live;
  entries_.erase(entries_.find(removed.session->compact_id()));
  return removed;
}

void SessionRoster::Link(Entry* entry) {
  Entry*& first = by_sink_[entry->attachment.sink.get()];
  entry->next = first;
  if (first != nullptr) first->previous = entry;
  first = entry;
}

void SessionRoster::Unlink(Entry* entry) {
  if (entry->next != nullptr) entry->next->previous = entry->previous;
  if (entry->previous != nullptr) {
    entry->previous->next = entry->next;
  } else if (entry->next != nullptr) {
    by_sink_[entry->attachment.sink.get()] = entry->next;
  } else {
    by_sink_.erase(entry->attachment.sink.get());
  }
  entry->previous = entry->next = nullptr;
}

SessionAttachment SessionRoster::Attach(Entry* entry, SessionAttachment attachment) {
  if (entry->attachment.sink != nullptr) {
    Unlink(entry);
    --counters.attached;
  }
  entry->released_at = kNever;
  if (attachment.sink == nullptr) attachment.client_instance = nullptr;
  SessionAttachment old = std::exchange(entry->attachment, std::move(attachment));
  if (entry->attachment.sink != nullptr) {
    Link(entry);
    ++counters.attached;
  }
  return old;
}

SessionAttachment SessionRoster::Release(Entry* entry) {
  SessionAttachment released = Attach(entry, {});
  const absl::Time now = clock_->Now();
  entry->released_at = Nanos(now);
  SetDue(entry, std::min(entry->due, Nanos(now + grace_)));
  return released;
}

std::vector<SessionRoster::Entry*> SessionRoster::HeldBy(const SessionSink* sink) {
  std::vector<Entry*> held;
  const auto first = by_sink_.find(sink);
  if (first == by_sink_.end()) return held;
  for (Entry* entry = first->second; entry != nullptr; entry = entry->next) held.push_back(entry);
  return held;
}

void SessionRoster::SetDue(Entry* entry, int64_t due) {
  by_due_.erase({entry->due, entry});
  entry->due = due;
  if (due != kNever) by_due_.insert({due, entry});
}

std::pair<int64_t, EvictionCause> SessionRoster::End(const Entry& entry, absl::Time idle_since) const {
  const absl::Time by_idle = idle_since + idle_ttl_;
  const absl::Time by_grace = std::max(idle_since, TimeOf(entry.released_at)) + grace_;
  if (by_grace < by_idle) return {Nanos(by_grace), EvictionCause::kGrace};
  return {Nanos(by_idle), EvictionCause::kIdle};
}

SessionRoster::Evicted SessionRoster::TakeEnded(Entry* entry, EvictionCause cause,
                                                const absl::Status& status) {
  Entry removed = Remove(entry);
  const uint64_t epoch = removed.session->epoch();
  evicted_.Add(removed.session->id(), cause, clock_->Now());
  ++(cause == EvictionCause::kGrace  ? counters.evicted_grace
     : cause == EvictionCause::kIdle ? counters.evicted_idle
                                     : counters.evicted_on_demand);
  return {std::move(removed.session),
          {std::move(removed.attachment), status, SessionErrorReason::kEvictedIdle, epoch}};
}

std::optional<SessionRoster::Evicted> SessionRoster::TakeIdle(Entry* entry) {
  const absl::Status status = EvictedStatus(entry->session->id(), EvictionCause::kDemand);
  if (!entry->session->EndIfIdleSince(absl::InfiniteFuture(), status).ended) return std::nullopt;
  return TakeEnded(entry, EvictionCause::kDemand, status);
}

std::vector<SessionRoster::Evicted> SessionRoster::TakeDue(size_t most) {
  std::vector<Evicted> taken;
  const absl::Time now = clock_->Now();
  while (taken.size() < most && !by_due_.empty() && TimeOf(by_due_.begin()->first) <= now) {
    Entry* entry = by_due_.begin()->second;
    // Idle since `latest` or longer is too long; grace counts once it is over.
    const bool grace_over = TimeOf(entry->released_at) + grace_ <= now;
    const absl::Time latest = now - (grace_over ? std::min(idle_ttl_, grace_) : idle_ttl_);
    const EvictionCause cause =
        grace_over && grace_ < idle_ttl_ ? EvictionCause::kGrace : EvictionCause::kIdle;
    const std::string id = entry->session->id();
    const absl::Status status = EvictedStatus(id, cause);
    const Session::IdleVerdict verdict = entry->session->EndIfIdleSince(latest, status);
    if (!verdict.ended) {
      SetDue(entry, End(*entry, verdict.idle_since).first);
      continue;
    }
    taken.push_back(TakeEnded(entry, cause, status));
  }
  return taken;
}

absl::Time SessionRoster::NextDue() const {
  const absl::Time fresh = clock_->Now() + std::min(idle_ttl_, grace_);
  return by_due_.empty() ? fresh : std::min(fresh, TimeOf(by_due_.begin()->first));
}

void SessionRoster::OnClosed(Session& session, const SessionSink* closer) {
  Entry removed;
  {
    absl::MutexLock lock(&mu);
    Entry* entry = EntryOf(session);
    if (entry == nullptr) return;
    removed = Remove(entry);
    ++counters.closed;
  }
  if (removed.attachment.sink.get() == closer) return;
  Notice{removed.attachment,
         absl::NotFoundError(
             absl::StrCat("session \"", session.id(), "\" was closed from outside of its stream")),
         SessionErrorReason::kNone, session.epoch()}
      .Tell();
}

void SessionRoster::OnRetired(Session& session, const absl::Status& why) {
  Entry removed;
  {
    absl::MutexLock lock(&mu);
    Entry* entry = EntryOf(session);
    if (entry == nullptr) return;
    removed = Remove(entry);
    evicted_.Add(session.id(), EvictionCause::kRetired, clock_->Now());
    ++counters.retired;
  }
  Notice{removed.attachment, why, SessionErrorReason::kVersionRetired, session.epoch()}.Tell();
}

void SessionRoster::OnCarried() {
  absl::MutexLock lock(&mu);
  ++counters.carried;
}

void SessionRoster::OnLost(Session& session, uint64_t epoch, SessionErrorReason reason) {
  Entry removed;
  {
    absl::MutexLock lock(&mu);
    Entry* entry = EntryOf(session);
    if (entry == nullptr) return;
    removed = Remove(entry);
    ++counters.fenced;
  }
  Notice{removed.attachment,
         absl::AbortedError(
             absl::StrCat("another server resumed session \"", session.id(), "\", under epoch ", epoch)),
         reason, epoch}
      .Tell();
}

}  // namespace gruserve

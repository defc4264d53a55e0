#include "core/session/session_roster.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"

namespace gruserve {
namespace {

// Time that stands still would end a busy session for ever again.
constexpr absl::Duration kShortestTtl = absl::Milliseconds(1);

}  // namespace

SessionRoster::SessionRoster(const SessionTable::Options& options, Clock* clock)
    : options_(options),
      idle_ttl_(std::max(options.idle_ttl, kShortestTtl)),
      grace_(std::max(options.grace, kShortestTtl)),
      clock_(clock),
      evicted_(options.remember_evicted, options.max_remembered) {}

SessionRoster::Entry* SessionRoster::Find(const std::string& id) {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

SessionRoster::Entry* SessionRoster::EntryOf(const Session& session) {
  Entry* entry = Find(session.id());
  return entry != nullptr && entry->session.get() == &session ? entry : nullptr;
}

absl::Status SessionRoster::EvictedStatus(const std::string& id, EvictionCause cause) const {
  if (cause == EvictionCause::kGrace) {
    return absl::NotFoundError(absl::StrCat("session \"", id,
                                            "\" was evicted: its stream ended and none resumed it within ",
                                            absl::FormatDuration(grace_)));
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

void SessionRoster::Add(std::shared_ptr<Session> session, SessionAttachment attachment,
                        bool close_with_stream) {
  const std::string& id = session->id();
  evicted_.Remove(id);
  const auto [place, added] = entries_.try_emplace(id);
  assert(added);
  Entry* entry = &place->second;
  entry->session = std::move(session);
  entry->close_with_stream = close_with_stream;
  Attach(entry, std::move(attachment));
  SetDue(entry, clock_->Now() + idle_ttl_);
  ++counters.opened;
  ++counters.live;
}

SessionRoster::Entry SessionRoster::Remove(Entry* entry) {
  Entry removed;
  removed.attachment = Attach(entry, {});
  SetDue(entry, absl::InfiniteFuture());
  removed.session = std::move(entry->session);
  removed.epoch = entry->epoch;
  Refund(removed.session->memory_bytes());
  --counters.live;
  entries_.erase(removed.session->id());
  return removed;
}

SessionAttachment SessionRoster::Attach(Entry* entry, SessionAttachment attachment) {
  if (const SessionSink* old = entry->attachment.sink.get(); old != nullptr) {
    const auto held = by_sink_.find(old);
    held->second.erase(entry);
    if (held->second.empty()) by_sink_.erase(held);
    --counters.attached;
  }
  if (const SessionSink* sink = attachment.sink.get(); sink != nullptr) {
    by_sink_[sink].insert(entry);
    ++counters.attached;
  }
  entry->released_at = absl::InfiniteFuture();
  return std::exchange(entry->attachment, std::move(attachment));
}

SessionAttachment SessionRoster::Release(Entry* entry) {
  SessionAttachment released = Attach(entry, {});
  entry->session->Detach();
  entry->released_at = clock_->Now();
  SetDue(entry, std::min(entry->due, entry->released_at + grace_));
  return released;
}

std::vector<SessionRoster::Entry*> SessionRoster::HeldBy(const SessionSink* sink) {
  const auto held = by_sink_.find(sink);
  if (held == by_sink_.end()) return {};
  return {held->second.begin(), held->second.end()};
}

void SessionRoster::SetDue(Entry* entry, absl::Time due) {
  by_due_.erase({entry->due, entry});
  entry->due = due;
  if (due != absl::InfiniteFuture()) by_due_.insert({due, entry});
}

std::pair<absl::Time, EvictionCause> SessionRoster::End(const Entry& entry, absl::Time idle_since) const {
  const absl::Time by_idle = idle_since + idle_ttl_;
  const absl::Time by_grace = std::max(idle_since, entry.released_at) + grace_;
  if (by_grace < by_idle) return {by_grace, EvictionCause::kGrace};
  return {by_idle, EvictionCause::kIdle};
}

std::vector<SessionRoster::Evicted> SessionRoster::TakeDue(size_t most) {
  std::vector<Evicted> taken;
  const absl::Time now = clock_->Now();
  while (taken.size() < most && !by_due_.empty() && by_due_.begin()->first <= now) {
    Entry* entry = by_due_.begin()->second;
    // Idle since `latest` or longer is too long; grace counts once it is over.
    const bool grace_over = entry->released_at + grace_ <= now;
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
    Entry removed = Remove(entry);
    evicted_.Add(id, cause, now);
    ++(cause == EvictionCause::kGrace ? counters.evicted_grace : counters.evicted_idle);
    taken.push_back(
        {std::move(removed.session),
         {std::move(removed.attachment), status, SessionErrorReason::kEvictedIdle, removed.epoch}});
  }
  return taken;
}

absl::Time SessionRoster::NextDue() const {
  const absl::Time fresh = clock_->Now() + std::min(idle_ttl_, grace_);
  return by_due_.empty() ? fresh : std::min(fresh, by_due_.begin()->first);
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
         SessionErrorReason::kNone, removed.epoch}
      .Tell();
}

}  // namespace gruserve

// The sessions of a SessionTable and what is known of each: who holds it, what
// it costs, and when it may be due to end. Data and its indexes; the rules of
// opening are in SessionTable.
//
// Thread-safe where a method locks; the others REQUIRE `mu`, which the table
// holds over a whole decision. Sessions keep it weakly, so it may go first.

#ifndef GRUSERVE_CORE_SESSION_SESSION_ROSTER_H_
#define GRUSERVE_CORE_SESSION_SESSION_ROSTER_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/compact_session_id.h"
#include "core/session/evicted_ids.h"
#include "core/session/session.h"
#include "core/session/session_table.h"

namespace gruserve {

class SessionRoster : public SessionOwner {
 public:
  // There may be millions: times are nanoseconds since 1970, and kNever is later.
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  struct Entry {
    std::shared_ptr<Session> session;
    SessionAttachment attachment;  // A null sink: no stream holds it.
    // When the stream that held it ended: the grace period counts. kNever where none did.
    int64_t released_at = kNever;
    int64_t due = kNever;  // Not due before; its place in `by_due_`.
    // The others of its sink.
    Entry* previous = nullptr;
    Entry* next = nullptr;
  };
  struct ById {
    using is_transparent = void;
    static const CompactSessionId& IdOf(const CompactSessionId& id) { return id; }
    static const CompactSessionId& IdOf(const std::unique_ptr<Entry>& entry) {
      return entry->session->compact_id();
    }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return IdOf(a) < IdOf(b);
    }
  };
  using Entries = absl::btree_set<std::unique_ptr<Entry>, ById>;
  // A stream that must be told that it lost a session.
  struct Notice {
    SessionAttachment attachment;
    absl::Status status;
    SessionErrorReason reason = SessionErrorReason::kNone;
    uint64_t epoch = 0;

    // REQUIRES: no lock is held.
    void Tell() const {
      if (attachment.sink != nullptr) attachment.sink->OnDetached(attachment.handle, status, reason, epoch);
    }
  };
  struct Evicted {
    std::shared_ptr<Session> session;
    Notice notice;
  };

  SessionRoster(const SessionTable::Options& options, Clock* clock);

  // The live session `id`, or null.
  Entry* Find(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Why there is none.
  absl::Status NotFound(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The first session whose id comes after `id`.
  Entries::const_iterator After(const std::string& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return entries_.upper_bound(CompactSessionId(id));
  }
  Entries::const_iterator end() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return entries_.end(); }

  // Takes `bytes` of the budget; ResourceExhausted where they are not there.
  absl::Status Charge(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void Refund(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { counters.memory_bytes -= bytes; }

  // Adds a session that is paid for. REQUIRES: its id is free.
  void Add(std::shared_ptr<Session> session, SessionAttachment attachment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes it out, for the caller to destroy without the lock.
  Entry Remove(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Puts `attachment` in the place of the one it answers.
  SessionAttachment Attach(Entry* entry, SessionAttachment attachment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // As Attach of nothing, where a stream lets go: the grace period begins.
  SessionAttachment Release(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // What `sink` holds.
  std::vector<Entry*> HeldBy(const SessionSink* sink) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Ends the session of `entry` unless it is busy; frees no state.
  std::optional<Evicted> TakeIdle(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Ends up to `most` sessions that are due; frees none of their states.
  std::vector<Evicted> TakeDue(size_t most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The time before which nothing falls due.
  absl::Time NextDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // From sessions.
  void OnClosed(Session& session, const SessionSink* closer) override ABSL_LOCKS_EXCLUDED(mu);
  void OnLost(Session& session, uint64_t epoch, SessionErrorReason reason) override ABSL_LOCKS_EXCLUDED(mu);
  void OnRetired(Session& session, const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mu);
  void OnCarried() override ABSL_LOCKS_EXCLUDED(mu);

  mutable absl::Mutex mu;
  SessionTable::Counters counters ABSL_GUARDED_BY(mu);
  bool stopped ABSL_GUARDED_BY(mu) = false;

 private:
  // When an entry whose session is idle since `idle_since` ends, and why.
  std::pair<int64_t, EvictionCause> End(const Entry& entry, absl::Time idle_since) const;
  absl::Status EvictedStatus(const std::string& id, EvictionCause cause) const;
  // The entry of just this session, or null.
  Entry* EntryOf(const Session& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes out the entry of a session that has ended.
  Evicted TakeEnded(Entry* entry, EvictionCause cause, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void SetDue(Entry* entry, int64_t due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void Link(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void Unlink(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // Constant after construction.
  const SessionTable::Options options_;
  const absl::Duration idle_ttl_;
  const absl::Duration grace_;
  Clock* const clock_;

  Entries entries_ ABSL_GUARDED_BY(mu);
  absl::flat_hash_map<const SessionSink*, Entry*> by_sink_ ABSL_GUARDED_BY(mu);  // The first of each.
  absl::btree_set<std::pair<int64_t, Entry*>> by_due_ ABSL_GUARDED_BY(mu);
  EvictedIds evicted_ ABSL_GUARDED_BY(mu);
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_SESSION_ROSTER_H_

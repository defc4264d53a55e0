#include "server/session_reaper.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

namespace gruserve::server {
namespace {

// Ended sessions between two trims: a trim takes milliseconds.
constexpr int64_t kSessionsPerTrim = 1000;

}  // namespace

SessionReaper::SessionReaper(SessionTable* table, Clock* clock, absl::Duration slack,
                             std::function<void()> also)
    : table_(table), clock_(clock), slack_(slack), also_(std::move(also)), thread_([this] { Run(); }) {}

SessionReaper::~SessionReaper() {
  {
    const absl::MutexLock lock(&mu_);
    stop_ = true;
    stop_changed_.Signal();
  }
  thread_.join();
}

absl::Time SessionReaper::Pass() {
  if (also_) also_();
  const absl::Time next = table_->Expire();
  const SessionTable::Counters counters = table_->counters();
  const int64_t ended =
      counters.closed + counters.evicted_idle + counters.evicted_grace + counters.evicted_on_demand;
  {
    const absl::MutexLock lock(&mu_);
    if (ended - ended_at_last_trim_ < kSessionsPerTrim) return next;
    ended_at_last_trim_ = ended;
  }
  // glibc keeps what is freed in the arena of whichever thread allocated it.
  malloc_trim(0);
  return next;
}

void SessionReaper::Run() {
  while (true) {
    // A session that comes meanwhile may be due before the time that Pass
    // knows: hence never longer than the slack.
    const absl::Duration wait = std::clamp(Pass() - clock_->Now(), absl::Milliseconds(1), slack_);
    const absl::MutexLock lock(&mu_);
    if (!stop_) stop_changed_.WaitWithTimeout(&mu_, wait);
    if (stop_) return;
  }
}

}  // namespace gruserve::server

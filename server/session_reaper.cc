#include "server/session_reaper.h"

#include <algorithm>

namespace gruserve::server {

SessionReaper::SessionReaper(SessionTable* table, Clock* clock, absl::Duration slack)
    : table_(table), clock_(clock), slack_(slack), thread_([this] { Run(); }) {}

SessionReaper::~SessionReaper() {
  {
    const absl::MutexLock lock(&mu_);
    stop_ = true;
    stop_changed_.Signal();
  }
  thread_.join();
}

void SessionReaper::Run() {
  while (true) {
    // A session that comes meanwhile may be due before the time that Expire
    // knows: hence never longer than the slack.
    const absl::Duration wait = std::clamp(table_->Expire() - clock_->Now(), absl::Milliseconds(1), slack_);
    const absl::MutexLock lock(&mu_);
    if (!stop_) stop_changed_.WaitWithTimeout(&mu_, wait);
    if (stop_) return;
  }
}

}  // namespace gruserve::server

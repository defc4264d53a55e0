#include "client/cli/session_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace gruserve::client {
namespace {

struct Moved {
  const SessionInfo* info;
  int64_t steps;
};

}  // namespace

void SessionWatch::Print(const std::vector<SessionInfo>& sessions, absl::Duration elapsed, size_t most,
                         std::ostream* out) {
  std::unordered_map<std::string, int64_t> now;
  std::vector<Moved> moved;
  int64_t steps = 0;
  int64_t bytes = 0;
  for (const SessionInfo& info : sessions) {
    const auto before = next_steps_.find(info.session_id);
    moved.push_back({&info, before == next_steps_.end() ? 0 : info.next_step - before->second});
    now[info.session_id] = info.next_step;
    steps += moved.back().steps;
    bytes += info.memory_bytes;
  }
  next_steps_ = std::move(now);
  std::stable_sort(moved.begin(), moved.end(),
                   [](const Moved& a, const Moved& b) { return a.steps > b.steps; });
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  *out << absl::StrFormat("%d sessions, %.1f MiB, %.0f steps/s\n", sessions.size(),
                          static_cast<double>(bytes) / (1 << 20), static_cast<double>(steps) / seconds);
  *out << absl::StrFormat("%-34s  %-20s  %9s  %8s  %6s  %9s  %8s  %s\n", "SESSION", "MODEL", "NEXT STEP",
                          "STEPS/S", "QUEUED", "LATENCY", "IDLE", "STREAM");
  if (moved.size() > most) moved.resize(most);
  for (const Moved& each : moved) {
    const SessionInfo& info = *each.info;
    *out << absl::StrFormat("%-34s  %-20s  %9d  %8.0f  %6d  %7dus  %7.1fs  %s\n", info.session_id,
                            absl::StrCat(info.model.name, "/", info.model.version), info.next_step,
                            static_cast<double>(each.steps) / seconds, info.queued,
                            absl::ToInt64Microseconds(info.last_latency), absl::ToDoubleSeconds(info.idle),
                            info.attached ? "attached" : "detached");
  }
  out->flush();
}

}  // namespace gruserve::client

// `gruserve sessions watch`: the sessions, again and again, with how fast they step.

#ifndef GRUSERVE_CLIENT_CLI_SESSION_WATCH_H_
#define GRUSERVE_CLIENT_CLI_SESSION_WATCH_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/time/time.h"
#include "client/session_info.h"

namespace gruserve::client {

// Remembers where each session stood. Not thread-safe.
class SessionWatch {
 public:
  // The `most` sessions that stepped most since the call before, `elapsed` ago, as a
  // table with a line about all of them.
  void Print(const std::vector<SessionInfo>& sessions, absl::Duration elapsed, size_t most,
             std::ostream* out);

 private:
  std::unordered_map<std::string, int64_t> next_steps_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_SESSION_WATCH_H_

// A line on stderr that shows how far long work is, from its third second on.
//
// Thread-safe. Draws from a thread of its own, which the destructor ends after
// it has taken the line away again.

#ifndef GRUSERVE_CLIENT_CLI_PROGRESS_H_
#define GRUSERVE_CLIENT_CLI_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace gruserve::client {

class Progress {
 public:
  struct Options {
    bool enabled = false;  // Not where stderr is no terminal.
    std::string what;      // "streaming", say.
    int64_t total = 0;     // Steps; 0: unknown, shows the time only.
    absl::Duration delay = absl::Seconds(2);
  };

  // REQUIRES: `err` outlives it, and nobody else writes to it meanwhile.
  Progress(Options options, std::ostream* err);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Add(int64_t steps) { done_ += steps; }

  // The line after `elapsed`, with no control characters.
  std::string Line(absl::Duration elapsed) const;

 private:
  void Draw();

  // Constant after construction.
  const Options options_;
  std::ostream* const err_;

  // Self-synchronised.
  std::atomic<int64_t> done_ = 0;
  absl::Notification stop_;
  std::thread drawer_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_PROGRESS_H_

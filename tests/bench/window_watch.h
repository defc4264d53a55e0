// Sets a run's window, sleeps through it, and says what client and server used
// inside it. Not thread-safe.

#ifndef GRUSERVE_TESTS_BENCH_WINDOW_WATCH_H_
#define GRUSERVE_TESTS_BENCH_WINDOW_WATCH_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "tests/bench/load_options.h"
#include "tests/bench/run_window.h"

namespace gruserve::bench {

// Sends operations when they are due: calls `offer(number, due)` from this thread
// until the window is over, `rate` times a second, never skipping one.
void Pace(double rate, const RunWindow& window,
          const std::function<void(int64_t number, int64_t due)>& offer);

class WindowWatch {
 public:
  explicit WindowWatch(const LoadOptions& options) : options_(options) {}

  // Sets the window, from now on.
  void Begin(RunWindow* window);
  // Sleeps to the window's end, while `send` (may be empty) runs here; returns
  // the CPU seconds and the memory of both sides.
  nlohmann::json Watch(const std::function<void()>& send);

 private:
  const LoadOptions options_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_WINDOW_WATCH_H_

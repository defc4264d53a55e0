#include "tests/bench/window_watch.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/bench/process_meter.h"

namespace gruserve::bench {
namespace {

constexpr double kNanosPerSecond = 1e9;

void SleepUntil(int64_t nanos) {
  std::this_thread::sleep_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(nanos)));
}

int64_t Nanos(double seconds) { return static_cast<int64_t>(seconds * kNanosPerSecond); }

}  // namespace

void Pace(double rate, const RunWindow& window,
          const std::function<void(int64_t number, int64_t due)>& offer) {
  const int64_t start = NowNanos();
  for (int64_t number = 0;; ++number) {
    const int64_t due = start + Nanos(static_cast<double>(number) / rate);
    if (window.IsOver(due)) return;
    if (NowNanos() < due) SleepUntil(due);
    offer(number, due);
  }
}

void WindowWatch::Begin(RunWindow* window) {
  begin_ = NowNanos() + Nanos(options_.warm_up_seconds);
  end_ = begin_ + Nanos(options_.seconds);
  window->Set(begin_, end_);
}

nlohmann::json WindowWatch::Watch(const std::function<void()>& send) {
  ProcessUse client[2], server[2], middle;
  std::thread meter([&] {
    SleepUntil(begin_);
    client[0] = MeterProcess(0);
    server[0] = MeterProcess(options_.server_pid);
    SleepUntil(begin_ + (end_ - begin_) / 2);
    if (options_.server_pid != 0) middle = MeterProcess(options_.server_pid);
    SleepUntil(end_);
    client[1] = MeterProcess(0);
    server[1] = MeterProcess(options_.server_pid);
  });
  if (send) send();
  meter.join();
  nlohmann::json use = {{"seconds", options_.seconds},
                        {"client_cpu_seconds", client[1].cpu_seconds - client[0].cpu_seconds}};
  if (options_.server_pid != 0) {
    use["server_cpu_seconds"] = server[1].cpu_seconds - server[0].cpu_seconds;
    use["server_rss_bytes"] = {server[0].resident_bytes, middle.resident_bytes, server[1].resident_bytes};
  }
  return use;
}

}  // namespace gruserve::bench

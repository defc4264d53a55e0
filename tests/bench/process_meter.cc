#include "tests/bench/process_meter.h"

#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <string>

namespace gruserve::bench {

ProcessUse MeterProcess(int pid) {
  ProcessUse use;
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  timespec time = {};
  if ((pid == 0 || clock_getcpuclockid(pid, &clock) == 0) && clock_gettime(clock, &time) == 0) {
    use.cpu_seconds = static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  std::ifstream statm("/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/statm");
  int64_t pages = 0, resident = 0;
  if (statm >> pages >> resident) use.resident_bytes = resident * sysconf(_SC_PAGESIZE);
  return use;
}

int64_t NowNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace gruserve::bench

// What a process has used so far, by its id. Plain values.

#ifndef GRUSERVE_TESTS_BENCH_PROCESS_METER_H_
#define GRUSERVE_TESTS_BENCH_PROCESS_METER_H_

#include <cstdint>

namespace gruserve::bench {

struct ProcessUse {
  double cpu_seconds = 0;
  int64_t resident_bytes = 0;
};

// Id 0 is this process. Zeros where there is no such process.
ProcessUse MeterProcess(int pid);

// Nanoseconds of a clock that never goes back.
int64_t NowNanos();

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_PROCESS_METER_H_

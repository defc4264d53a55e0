// What every program of the benchmarks does first, so that what is measured is the
// transport and the work, not the process around them.

#ifndef GRUSERVE_TESTS_BENCH_CALM_PROCESS_H_
#define GRUSERVE_TESTS_BENCH_CALM_PROCESS_H_

#include <malloc.h>

namespace gruserve::bench {

// Keeps what is freed: glibc gives large blocks back to Linux, or not, as the order of
// calls happens to be, and a message of a megabyte then costs its page faults anew.
inline void KeepFreedMemory() {
  constexpr int kLargestMessage = 256 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargestMessage);
  mallopt(M_TRIM_THRESHOLD, 2 * (kLargestMessage - 1));
}

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_CALM_PROCESS_H_

// How much of this process is in memory.

#ifndef GRUSERVE_TESTS_SUPPORT_RESIDENT_BYTES_H_
#define GRUSERVE_TESTS_SUPPORT_RESIDENT_BYTES_H_

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace gruserve {

inline int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_RESIDENT_BYTES_H_

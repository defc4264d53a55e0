// Moments of the protocol at which a process can be let die, so that the chaos checker
// reaches what a kill -9 from outside rarely hits. Only where GRUSERVE_SEEDED_BUGS is
// defined (presets `chaos` and `fuzz`); elsewhere they are no code.

#ifndef GRUSERVE_CORE_BASE_FAILPOINT_H_
#define GRUSERVE_CORE_BASE_FAILPOINT_H_

#ifdef GRUSERVE_SEEDED_BUGS
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#endif

namespace gruserve {

#ifdef GRUSERVE_SEEDED_BUGS
// Kills the process with SIGKILL where the variable GRUSERVE_FAILPOINT is `site:N` and this
// is the Nth time. tests/chaos/chaos.py reads the sites from the sources. Thread-safe.
inline void Failpoint(const char* site) {
  static const std::string wanted = [] {
    const char* const text = std::getenv("GRUSERVE_FAILPOINT");
    return std::string(text == nullptr ? "" : text);
  }();
  static const size_t colon = wanted.find(':');
  if (colon == std::string::npos || wanted.compare(0, colon, site) != 0) return;
  static std::atomic<int> left = std::atoi(wanted.c_str() + colon + 1);
  if (--left == 0) std::raise(SIGKILL);
}
#else
inline void Failpoint(const char*) {}
#endif

}  // namespace gruserve

#endif  // GRUSERVE_CORE_BASE_FAILPOINT_H_

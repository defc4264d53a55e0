// Every latency of a run, none rounded or thrown away. Not thread-safe: each
// stream keeps its own, merged at the end.

#ifndef GRUSERVE_TESTS_BENCH_LATENCIES_H_
#define GRUSERVE_TESTS_BENCH_LATENCIES_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace gruserve::bench {

class Latencies {
 public:
  void Add(int64_t nanos) { nanos_.push_back(nanos); }
  void Merge(const Latencies& other);
  int64_t count() const { return static_cast<int64_t>(nanos_.size()); }

  // Count, mean, p50, p90, p99, p99.9 and maximum, in microseconds.
  nlohmann::json Summary();

 private:
  std::vector<int64_t> nanos_;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_LATENCIES_H_

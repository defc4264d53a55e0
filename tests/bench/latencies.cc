#include "tests/bench/latencies.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numeric>

namespace gruserve::bench {

void Latencies::Merge(const Latencies& other) {
  nanos_.insert(nanos_.end(), other.nanos_.begin(), other.nanos_.end());
}

nlohmann::json Latencies::Summary() {
  nlohmann::json summary = {{"count", nanos_.size()}};
  if (nanos_.empty()) return summary;
  std::sort(nanos_.begin(), nanos_.end());
  const auto at = [this](double quantile) {
    const auto rank = static_cast<size_t>(std::ceil(quantile * static_cast<double>(nanos_.size())));
    return 1e-3 * static_cast<double>(nanos_[std::max<size_t>(rank, 1) - 1]);
  };
  const double sum = std::accumulate(nanos_.begin(), nanos_.end(), 0.0);
  summary["mean_us"] = 1e-3 * sum / static_cast<double>(nanos_.size());
  summary["p50_us"] = at(0.5);
  summary["p90_us"] = at(0.9);
  summary["p99_us"] = at(0.99);
  summary["p999_us"] = at(0.999);
  summary["max_us"] = at(1);
  return summary;
}

}  // namespace gruserve::bench

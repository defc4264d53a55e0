// bench-kernel SECONDS TYPE:T,B,I,H,L ...   TYPE is f32 or bf16
//
// Measures raw oneDNN for each shape on one thread, for about SECONDS each, and
// prints a JSON object a line: the median of the calls of the faster of the two
// weight layouts, in microseconds, or the reason why there is none.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/engine/omp_threads.h"
#include "tests/bench/kernel.h"

namespace gruserve::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kWarmUpCalls = 3;
constexpr int kMinCalls = 5;
// Short calls are timed several at once: reading the clock costs too.
constexpr double kMinTimedUs = 20;

double MicrosecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

std::vector<double> TimeCalls(Kernel& kernel, double seconds) {
  for (int i = 0; i < kWarmUpCalls; ++i) kernel.Run();
  auto begin = Clock::now();
  kernel.Run();
  const double once = MicrosecondsSince(begin);
  const int group = std::max(1, static_cast<int>(kMinTimedUs / std::max(once, 0.1)));
  std::vector<double> calls;
  const auto start = Clock::now();
  while (calls.size() < kMinCalls || MicrosecondsSince(start) < seconds * 1e6) {
    begin = Clock::now();
    for (int i = 0; i < group; ++i) kernel.Run();
    calls.push_back(MicrosecondsSince(begin) / group);
  }
  std::sort(calls.begin(), calls.end());
  return calls;
}

nlohmann::json Measure(const std::string& text, double seconds) {
  nlohmann::json result = {{"shape", text}};
  char type[8] = {};
  long long t = 0, b = 0, i = 0, h = 0, l = 0;  // NOLINT: what scanf's %lld wants
  if (std::sscanf(text.c_str(), "%7[^:]:%lld,%lld,%lld,%lld,%lld", type, &t, &b, &i, &h, &l) != 6) {
    result["error"] = "is no TYPE:T,B,I,H,L";
    return result;
  }
  const bool bf16 = std::string(type) == "bf16";
  for (const bool packed : {true, false}) {
    try {
      Kernel kernel({t, b, i, h, l}, bf16, packed);
      const std::vector<double> calls = TimeCalls(kernel, seconds / 2);
      const double median = calls[calls.size() / 2];
      if (!result.contains("us") || median < result["us"]) {
        result["us"] = median;
        result["us_p10"] = calls[calls.size() / 10];
        result["samples"] = calls.size();
        result["weights"] = packed ? "any" : "ldigo";
      }
    } catch (const dnnl::error& error) {
      if (!result.contains("us")) result["error"] = error.message;
    }
  }
  if (result.contains("us")) result.erase("error");
  return result;
}

}  // namespace
}  // namespace gruserve::bench

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: bench-kernel SECONDS TYPE:T,B,I,H,L ...\n", stderr);
    return 2;
  }
  const gruserve::SingleOmpThread one_thread;
  const double seconds = std::atof(argv[1]);
  for (int i = 2; i < argc; ++i) {
    std::cout << gruserve::bench::Measure(argv[i], seconds).dump() << std::endl;
  }
  return 0;
}

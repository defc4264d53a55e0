// What bench-load is asked to do. A plain value.

#ifndef GRUSERVE_TESTS_BENCH_LOAD_OPTIONS_H_
#define GRUSERVE_TESTS_BENCH_LOAD_OPTIONS_H_

#include <cstdint>
#include <string>

namespace gruserve::bench {

struct LoadOptions {
  std::string mode;  // "steps" or "sequences".
  std::string server;
  std::string model;
  int server_pid = 0;  // 0: its use is not measured.
  int connections = 1;
  double warm_up_seconds = 0.2;
  double seconds = 1;
  // Operations a second, sent when they are due whatever came back. 0: closed loop.
  double rate = 0;
  int64_t input_size = 0;

  // Steps.
  int streams = 1;
  int sessions_per_stream = 1;  // A message carries a step of each. Closed loop only.
  int messages_in_flight = 1;   // On each stream. Closed loop only.
  // Sessions that each stream holds open, of which a message steps the next
  // `sessions_per_stream`. Closed loop only.
  int live_sessions = 0;  // 0: as many as a message steps.

  // Sequences: [T, B, I].
  int64_t time_steps = 1;
  int64_t batch_size = 1;
  int concurrency = 1;  // Calls in flight. Closed loop only.
};

// Prints and exits where the arguments are wrong or ask for help.
LoadOptions ParseLoadOptions(int argc, char** argv);

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_LOAD_OPTIONS_H_

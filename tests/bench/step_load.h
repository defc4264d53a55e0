// Loads StreamSteps and measures it.

#ifndef GRUSERVE_TESTS_BENCH_STEP_LOAD_H_
#define GRUSERVE_TESTS_BENCH_STEP_LOAD_H_

#include <nlohmann/json_fwd.hpp>

#include "tests/bench/load_options.h"

namespace gruserve::bench {

// What was measured; "fault" is there where it is worth nothing. Blocks.
nlohmann::json RunStepLoad(const LoadOptions& options);

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_STEP_LOAD_H_

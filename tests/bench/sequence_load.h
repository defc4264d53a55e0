// Loads InferSequence and measures it.

#ifndef GRUSERVE_TESTS_BENCH_SEQUENCE_LOAD_H_
#define GRUSERVE_TESTS_BENCH_SEQUENCE_LOAD_H_

#include <nlohmann/json_fwd.hpp>

#include "tests/bench/load_options.h"

namespace gruserve::bench {

// What was measured, and the output's mean magnitude, by which the answers of two
// servers can be compared; "fault" is there where it is worth nothing. Blocks.
nlohmann::json RunSequenceLoad(const LoadOptions& options);

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_SEQUENCE_LOAD_H_

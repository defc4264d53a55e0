#include <iostream>
#include <nlohmann/json.hpp>

#include "server/polling_threads.h"
#include "tests/bench/calm_process.h"
#include "tests/bench/load_options.h"
#include "tests/bench/sequence_load.h"
#include "tests/bench/step_load.h"

int main(int argc, char** argv) {
  const gruserve::bench::LoadOptions options = gruserve::bench::ParseLoadOptions(argc, argv);
  gruserve::bench::KeepFreedMemory();
  const gruserve::server::PollingThreads threads(1);
  const nlohmann::json result = options.mode == "steps" ? gruserve::bench::RunStepLoad(options)
                                                        : gruserve::bench::RunSequenceLoad(options);
  std::cout << result.dump() << std::endl;
  return result.contains("fault") ? 1 : 0;
}

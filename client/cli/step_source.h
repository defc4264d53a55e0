// Where a stream's inputs come from, a message at a time: an array that is all
// there, or lines of numbers that arrive.
// Not thread-safe.

#ifndef GRUSERVE_CLIENT_CLI_STEP_SOURCE_H_
#define GRUSERVE_CLIENT_CLI_STEP_SOURCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/cli.h"
#include "client/tensor.h"

namespace gruserve::client {

class StepSource {
 public:
  virtual ~StepSource() = default;

  // Up to `chunk` steps, with the time axis in front; nothing at the end.
  virtual absl::StatusOr<std::optional<Tensor>> Next(int64_t chunk) = 0;
  // 0: unbatched. n: a step is [n, I].
  virtual int64_t batch_size() const = 0;
  // All steps together; 0 where nobody knows.
  virtual int64_t total_steps() const = 0;
  // Whether what Next gave last is known to be the end.
  virtual bool at_end() const = 0;
};

// The array or the lines of `path`; `-` is stdin. Usage errors name the file.
absl::StatusOr<std::unique_ptr<StepSource>> OpenStepSource(const std::string& path, const CliIo& io);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_STEP_SOURCE_H_

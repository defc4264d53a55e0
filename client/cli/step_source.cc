#include "client/cli/step_source.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/array_file.h"
#include "client/cli/command.h"
#include "client/cli/csv.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

class ArraySource final : public StepSource {
 public:
  // REQUIRES: `array` is [T, I] or [T, B, I], T > 0.
  explicit ArraySource(Tensor array)
      : array_(std::move(array)), step_values_(array_.values.size() / static_cast<size_t>(array_.shape[0])) {}

  absl::StatusOr<std::optional<Tensor>> Next(int64_t chunk) override {
    if (at_end()) return std::nullopt;
    const int64_t steps = std::min(chunk, total_steps() - next_);
    const auto begin = array_.values.begin() + static_cast<std::ptrdiff_t>(step_values_) * next_;
    Tensor tensor{array_.shape, {begin, begin + static_cast<std::ptrdiff_t>(step_values_) * steps}};
    tensor.shape[0] = steps;
    next_ += steps;
    return std::optional(std::move(tensor));
  }
  int64_t batch_size() const override { return array_.shape.size() == 3 ? array_.shape[1] : 0; }
  int64_t total_steps() const override { return array_.shape[0]; }
  bool at_end() const override { return next_ == total_steps(); }

 private:
  const Tensor array_;
  const size_t step_values_;
  int64_t next_ = 0;
};

class LineSource final : public StepSource {
 public:
  explicit LineSource(std::istream* in) : reader_(in) {}

  absl::StatusOr<std::optional<Tensor>> Next(int64_t chunk) override {
    Tensor tensor;
    int64_t steps = 0;
    for (; steps < chunk; ++steps) {
      absl::StatusOr<std::optional<std::vector<float>>> row = reader_.Next();
      if (!row.ok()) return UsageError(absl::StrCat("stdin: ", row.status().message()));
      if (!*row) break;
      tensor.values.insert(tensor.values.end(), (*row)->begin(), (*row)->end());
    }
    if (steps == 0) return std::nullopt;
    tensor.shape = {steps, static_cast<int64_t>(tensor.values.size()) / steps};
    return std::optional(std::move(tensor));
  }
  int64_t batch_size() const override { return 0; }
  int64_t total_steps() const override { return 0; }
  // More may always come.
  bool at_end() const override { return false; }

 private:
  CsvReader reader_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepSource>> OpenStepSource(const std::string& path, const CliIo& io) {
  if (path == "-" && !StdinIsNpy(io)) return std::make_unique<LineSource>(io.in);
  GRUSERVE_ASSIGN_OR_RETURN(Tensor array, ReadArray(path, io));
  if ((array.shape.size() != 2 && array.shape.size() != 3) || array.shape[0] == 0) {
    return UsageError(absl::StrCat(path == "-" ? "stdin" : path, " has shape (",
                                   absl::StrJoin(array.shape, ", "),
                                   "), [T, I] or [T, B, I] with a T of 1 or more is wanted"));
  }
  if (array.shape.size() == 3 && array.shape[1] == 0) {
    return UsageError(absl::StrCat(path == "-" ? "stdin" : path, " has a batch of 0, 1 or more is wanted"));
  }
  return std::make_unique<ArraySource>(std::move(array));
}

}  // namespace gruserve::client

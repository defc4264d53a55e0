// Arrays as lines of numbers: one line a time step, one column a feature.

#ifndef GRUSERVE_CLIENT_CLI_CSV_H_
#define GRUSERVE_CLIENT_CLI_CSV_H_

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/tensor.h"

namespace gruserve::client {

// Reads lines of numbers, separated by commas, semicolons or blanks. Empty lines,
// comments (#) and a first line without any number (a heading) are left out.
class CsvReader {
 public:
  // REQUIRES: `in` outlives the reader.
  explicit CsvReader(std::istream* in) : in_(in) {}

  // The next line's numbers; nothing at the end. InvalidArgument names the line,
  // the column, what came and what was wanted.
  absl::StatusOr<std::optional<std::vector<float>>> Next();

 private:
  std::istream* const in_;
  int64_t line_number_ = 0;
  bool first_ = true;
  size_t columns_ = 0;  // 0: not known yet.
};

// All lines, as [lines, columns].
absl::StatusOr<Tensor> ReadCsv(std::istream* in);

// Appends the numbers, comma-separated, each as short as it can be read back.
void AppendCsvRow(const float* values, size_t count, std::string* line);

// One line for each row of the last dimension: [T, B, H] has T * B lines.
void WriteCsv(const Tensor& tensor, std::ostream* out);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_CSV_H_

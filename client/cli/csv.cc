#include "client/cli/csv.h"

#include <algorithm>
#include <charconv>
#include <istream>
#include <ostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

// Commas or semicolons where there are any, blanks otherwise.
std::vector<std::string> SplitFields(const std::string& line) {
  for (const char separator : {',', ';'}) {
    if (line.find(separator) == std::string::npos) continue;
    absl::string_view text = absl::StripAsciiWhitespace(line);
    absl::ConsumeSuffix(&text, absl::string_view(&separator, 1));  // "1,2," has two fields.
    std::vector<std::string> fields = absl::StrSplit(text, separator);
    for (std::string& field : fields) absl::StripAsciiWhitespace(&field);
    return fields;
  }
  return absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
}

bool IsHeading(const std::vector<std::string>& fields) {
  return std::none_of(fields.begin(), fields.end(), [](const std::string& field) {
    float value = 0;
    return absl::SimpleAtof(field, &value);
  });
}

absl::StatusOr<std::vector<float>> ParseFields(const std::vector<std::string>& fields, int64_t line_number) {
  std::vector<float> values(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!absl::SimpleAtof(fields[i], &values[i])) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number, " column ", i + 1, " is \"",
                                                     fields[i], "\", a number is wanted"));
    }
  }
  return values;
}

}  // namespace

absl::StatusOr<std::optional<std::vector<float>>> CsvReader::Next() {
  std::string line;
  while (std::getline(*in_, line)) {
    ++line_number_;
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text.front() == '#') continue;
    const std::vector<std::string> fields = SplitFields(line);
    if (std::exchange(first_, false) && IsHeading(fields)) continue;
    GRUSERVE_ASSIGN_OR_RETURN(std::vector<float> values, ParseFields(fields, line_number_));
    if (columns_ == 0) columns_ = values.size();
    if (values.size() != columns_) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number_, " has ", values.size(),
                                                     " columns, ", columns_,
                                                     " are wanted as in the lines before"));
    }
    return std::optional(std::move(values));
  }
  return std::nullopt;
}

absl::StatusOr<Tensor> ReadCsv(std::istream* in) {
  CsvReader reader(in);
  Tensor tensor;
  tensor.shape = {0, 0};
  while (true) {
    GRUSERVE_ASSIGN_OR_RETURN(const std::optional<std::vector<float>> row, reader.Next());
    if (!row) break;
    ++tensor.shape[0];
    tensor.shape[1] = static_cast<int64_t>(row->size());
    tensor.values.insert(tensor.values.end(), row->begin(), row->end());
  }
  if (tensor.shape[0] == 0) return absl::InvalidArgumentError("no line of numbers in it");
  return tensor;
}

void AppendCsvRow(const float* values, size_t count, std::string* line) {
  for (size_t i = 0; i < count; ++i) {
    char text[32];
    const std::to_chars_result end = std::to_chars(text, text + sizeof(text), values[i]);
    if (i > 0) line->push_back(',');
    line->append(text, end.ptr);
  }
}

void WriteCsv(const Tensor& tensor, std::ostream* out) {
  const size_t columns = tensor.shape.empty() ? 1 : static_cast<size_t>(tensor.shape.back());
  if (columns == 0) return;
  for (size_t begin = 0; begin < tensor.values.size(); begin += columns) {
    std::string line;
    AppendCsvRow(tensor.values.data() + begin, columns, &line);
    *out << line << "\n";
  }
}

}  // namespace gruserve::client

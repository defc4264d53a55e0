#include "client/cli/npy.h"

#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>
#include <ostream>
#include <regex>
#include <span>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

constexpr size_t kMagicBytes = sizeof(kNpyMagic) - 1;
constexpr size_t kMaxHeaderBytes = 4096;  // A plain array's has 118; std::regex recurses on long ones.
constexpr size_t kMaxDims = 32;           // NumPy's own.

absl::Status Bad(const std::string& what) {
  return absl::InvalidArgumentError("not a readable .npy file: " + what);
}

struct Header {
  size_t data_begin = 0;
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Finds the Python dictionary between the magic and the data.
absl::StatusOr<std::string_view> FindDictionary(std::string_view bytes, size_t* data_begin) {
  if (bytes.substr(0, kMagicBytes) != kNpyMagic) return Bad("it does not begin with \\x93NUMPY");
  if (bytes.size() < kMagicBytes + 2) return Bad("it ends within its header");
  const int major = static_cast<unsigned char>(bytes[kMagicBytes]);
  if (major < 1 || major > 3) return Bad(absl::StrCat("format version ", major, ", 1 to 3 is wanted"));
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t begin = kMagicBytes + 2 + length_bytes;
  if (bytes.size() < begin) return Bad("it ends within its header");
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) {
    length |= static_cast<size_t>(static_cast<unsigned char>(bytes[kMagicBytes + 2 + i])) << (8 * i);
  }
  if (length > kMaxHeaderBytes)
    return Bad(absl::StrCat("a header of ", length, " bytes, at most 4096 are wanted"));
  if (bytes.size() - begin < length) return Bad("it ends within its header");
  *data_begin = begin + length;
  return bytes.substr(begin, length);
}

// The value of `key` in the dictionary, which must be written once.
std::optional<std::string> Find(const std::string& dictionary, const std::string& key,
                                const std::string& value) {
  const std::regex entry("['\"]" + key + "['\"]\\s*:\\s*" + value);
  std::smatch match;
  if (!std::regex_search(dictionary, match, entry)) return std::nullopt;
  const std::string found = match[1];
  const std::string rest = match.suffix();
  if (std::regex_search(rest, std::regex("['\"]" + key + "['\"]\\s*:"))) return std::nullopt;
  return found;
}

absl::StatusOr<std::vector<int64_t>> ParseShape(const std::string& text) {
  std::vector<int64_t> shape;
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int64_t dim = 0;
    if (!absl::SimpleAtoi(item, &dim) || dim < 0) return Bad(absl::StrCat("shape (", text, ")"));
    shape.push_back(dim);
  }
  if (shape.size() > kMaxDims) return Bad(absl::StrCat(shape.size(), " dimensions, at most 32 are wanted"));
  return shape;
}

absl::StatusOr<Header> ParseHeader(const std::string& bytes) {
  Header header;
  GRUSERVE_ASSIGN_OR_RETURN(const std::string_view text, FindDictionary(bytes, &header.data_begin));
  const std::string dictionary(text);
  const std::optional<std::string> descr = Find(dictionary, "descr", "['\"]([^'\"]*)['\"]");
  const std::optional<std::string> order = Find(dictionary, "fortran_order", "(True|False)");
  const std::optional<std::string> shape = Find(dictionary, "shape", "\\(([-0-9, ]*)\\)");
  if (!descr) return Bad("its header has no single, plain 'descr'");
  if (!order) return Bad("its header has no single 'fortran_order' of True or False");
  if (!shape) return Bad("its header has no single 'shape' of whole numbers");
  header.descr = *descr;
  header.fortran_order = *order == "True";
  GRUSERVE_ASSIGN_OR_RETURN(header.shape, ParseShape(*shape));
  return header;
}

// Fortran order has the first dimension run fastest: turns it round.
std::vector<float> ToRowMajor(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  std::vector<float> turned(values.size());
  std::vector<int64_t> index(shape.size());
  for (const float value : values) {
    int64_t place = 0;
    for (size_t dim = 0; dim < shape.size(); ++dim) place = place * shape[dim] + index[dim];
    turned[static_cast<size_t>(place)] = value;
    for (size_t dim = 0; dim < shape.size() && ++index[dim] == shape[dim]; ++dim) index[dim] = 0;
  }
  return turned;
}

template <typename Element>
std::vector<float> ReadElements(const char* data, size_t count) {
  std::vector<Element> elements(count);
  if (count > 0) std::memcpy(elements.data(), data, count * sizeof(Element));
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(elements[i]);
  return values;
}

}  // namespace

absl::StatusOr<NpyArray> ParseNpy(const std::string& bytes) {
  GRUSERVE_ASSIGN_OR_RETURN(Header header, ParseHeader(bytes));
  if (header.descr != "<f4" && header.descr != "<f8") {
    return Bad("dtype '" + header.descr + "', '<f4' or '<f8' is wanted");
  }
  const bool wide = header.descr == "<f8";
  const std::optional<int64_t> count = CheckedProduct(std::span<const int64_t>(header.shape));
  const std::optional<int64_t> wanted = count ? CheckedMultiply(*count, wide ? 8 : 4) : std::nullopt;
  const size_t got = bytes.size() - header.data_begin;
  if (!wanted || static_cast<uint64_t>(*wanted) != got) {
    return Bad(absl::StrCat("shape (", absl::StrJoin(header.shape, ", "), ") of '", header.descr, "' wants ",
                            wanted ? absl::StrCat(*wanted) : "more", " bytes, ", got, " follow the header"));
  }
  const char* const data = bytes.data() + header.data_begin;
  const size_t elements = static_cast<size_t>(*count);
  NpyArray array;
  array.rounded = wide;
  array.tensor.values = wide ? ReadElements<double>(data, elements) : ReadElements<float>(data, elements);
  if (header.fortran_order && header.shape.size() > 1) {
    array.tensor.values = ToRowMajor(array.tensor.values, header.shape);
  }
  array.tensor.shape = std::move(header.shape);
  return array;
}

void WriteNpy(const Tensor& tensor, std::ostream* out) {
  std::string header =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", absl::StrJoin(tensor.shape, ", "),
                   tensor.shape.size() == 1 ? ",), }" : "), }");
  constexpr size_t kAlignment = 64;
  const size_t before = kMagicBytes + 4;
  header.append(kAlignment - 1 - (before + header.size()) % kAlignment, ' ');
  header.push_back('\n');
  const char length[] = {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  out->write(kNpyMagic, kMagicBytes).write("\x01\x00", 2).write(length, 2);
  *out << header;
  out->write(reinterpret_cast<const char*>(tensor.values.data()),
             static_cast<std::streamsize>(tensor.values.size() * sizeof(float)));
}

}  // namespace gruserve::client

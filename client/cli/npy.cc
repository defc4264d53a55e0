#include "client/cli/npy.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <ostream>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/npy_header.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

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
  GRUSERVE_ASSIGN_OR_RETURN(NpyHeader header, ParseNpyHeader(bytes));
  if (header.descr != "<f4" && header.descr != "<f8") {
    return BadNpy("dtype '" + header.descr + "', '<f4' or '<f8' is wanted");
  }
  const bool wide = header.descr == "<f8";
  const std::optional<int64_t> count = CheckedProduct(std::span<const int64_t>(header.shape));
  const std::optional<int64_t> wanted = count ? CheckedMultiply(*count, wide ? 8 : 4) : std::nullopt;
  const size_t got = bytes.size() - header.data_begin;
  if (!wanted || static_cast<uint64_t>(*wanted) != got) {
    return BadNpy(absl::StrCat("shape (", absl::StrJoin(header.shape, ", "), ") of '", header.descr,
                               "' wants ", wanted ? absl::StrCat(*wanted) : "more", " bytes, ", got,
                               " follow the header"));
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
  const size_t before = sizeof(kNpyMagic) - 1 + 4;
  header.append(kAlignment - 1 - (before + header.size()) % kAlignment, ' ');
  header.push_back('\n');
  const char length[] = {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  out->write(kNpyMagic, sizeof(kNpyMagic) - 1).write("\x01\x00", 2).write(length, 2);
  *out << header;
  out->write(reinterpret_cast<const char*>(tensor.values.data()),
             static_cast<std::streamsize>(tensor.values.size() * sizeof(float)));
}

}  // namespace gruserve::client

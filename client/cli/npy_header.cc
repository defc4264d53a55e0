#include "client/cli/npy_header.h"

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

constexpr size_t kMagicBytes = sizeof(kNpyMagic) - 1;
constexpr size_t kMaxHeaderBytes = 10000;  // NumPy's own.
constexpr size_t kMaxDims = 32;            // NumPy's own.

// Finds the Python dictionary between the magic and the data.
absl::StatusOr<std::string_view> FindDictionary(std::string_view bytes, size_t* data_begin) {
  if (bytes.substr(0, kMagicBytes) != kNpyMagic) return BadNpy("it does not begin with \\x93NUMPY");
  if (bytes.size() < kMagicBytes + 2) return BadNpy("it ends within its header");
  const int major = static_cast<unsigned char>(bytes[kMagicBytes]);
  if (major < 1 || major > 3) return BadNpy(absl::StrCat("format version ", major, ", 1 to 3 is wanted"));
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t begin = kMagicBytes + 2 + length_bytes;
  if (bytes.size() < begin) return BadNpy("it ends within its header");
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) {
    length |= static_cast<size_t>(static_cast<unsigned char>(bytes[kMagicBytes + 2 + i])) << (8 * i);
  }
  if (length > kMaxHeaderBytes) {
    return BadNpy(absl::StrCat("a header of ", length, " bytes, at most 10000 are wanted"));
  }
  if (bytes.size() - begin < length) return BadNpy("it ends within its header");
  *data_begin = begin + length;
  return bytes.substr(begin, length);
}

absl::StatusOr<std::vector<int64_t>> ParseShape(const std::string& text) {
  std::vector<int64_t> shape;
  for (const absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int64_t dim = 0;
    if (!absl::SimpleAtoi(item, &dim) || dim < 0) return BadNpy(absl::StrCat("shape (", text, ")"));
    shape.push_back(dim);
  }
  if (shape.size() > kMaxDims) {
    return BadNpy(absl::StrCat(shape.size(), " dimensions, at most 32 are wanted"));
  }
  return shape;
}

// Reads the dictionary from its front, a token at a time.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // Whether `token` comes next; then it is behind us.
  bool Take(std::string_view token) {
    while (!text_.empty() && absl::ascii_isspace(static_cast<unsigned char>(text_.front()))) {
      text_.remove_prefix(1);
    }
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  // What comes before `end`, which is behind us then too.
  std::optional<std::string> TakeUntil(char end) {
    const size_t length = text_.find(end);
    if (length == std::string_view::npos) return std::nullopt;
    const std::string found(text_.substr(0, length));
    text_.remove_prefix(length + 1);
    return found;
  }
  std::optional<std::string> TakeQuoted() {
    return Take("'") ? TakeUntil('\'') : Take("\"") ? TakeUntil('"') : std::nullopt;
  }

 private:
  std::string_view text_;
};

absl::Status ParseEntry(const std::string& key, Scanner* scanner, NpyHeader* header) {
  if (key == "descr") {
    std::optional<std::string> descr = scanner->TakeQuoted();
    if (!descr) return BadNpy("its 'descr' is no plain dtype");
    header->descr = *std::move(descr);
  } else if (key == "fortran_order") {
    header->fortran_order = scanner->Take("True");
    if (!header->fortran_order && !scanner->Take("False")) {
      return BadNpy("its 'fortran_order' is neither True nor False");
    }
  } else if (key == "shape") {
    const std::optional<std::string> shape = scanner->Take("(") ? scanner->TakeUntil(')') : std::nullopt;
    if (!shape) return BadNpy("its 'shape' is no tuple");
    GRUSERVE_ASSIGN_OR_RETURN(header->shape, ParseShape(*shape));
  } else {
    return BadNpy("its header has a key '" + key + "'");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BadNpy(const std::string& what) {
  return absl::InvalidArgumentError("not a readable .npy file: " + what);
}

absl::StatusOr<NpyHeader> ParseNpyHeader(const std::string& bytes) {
  NpyHeader header;
  GRUSERVE_ASSIGN_OR_RETURN(const std::string_view text, FindDictionary(bytes, &header.data_begin));
  Scanner scanner(text);
  std::set<std::string> keys;
  bool more = scanner.Take("{");
  while (more && !scanner.Take("}")) {
    const std::optional<std::string> key = scanner.TakeQuoted();
    if (!key || !scanner.Take(":")) return BadNpy("its header is no dictionary");
    if (!keys.insert(*key).second) return BadNpy("its header has '" + *key + "' twice");
    GRUSERVE_RETURN_IF_ERROR(ParseEntry(*key, &scanner, &header));
    more = scanner.Take(",");
    if (!more && !scanner.Take("}")) return BadNpy("its header is no dictionary");
  }
  for (const char* key : {"descr", "fortran_order", "shape"}) {
    if (!keys.contains(key)) return BadNpy(absl::StrCat("its header has no '", key, "'"));
  }
  return header;
}

}  // namespace gruserve::client

#include "core/model/import/safetensors_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/checked_math.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

using nlohmann::json;

constexpr size_t kLengthBytes = 8;
// Header object, tensor object, shape or offsets array.
constexpr int kMaxDepth = 3;
constexpr size_t kMaxQuoted = 120;

// Text of the file in a message: printable and short.
std::string Quoted(std::string_view text) {
  std::string kept(text.substr(0, kMaxQuoted));
  if (text.size() > kMaxQuoted) kept += "...";
  return json(kept).dump(-1, ' ', true, json::error_handler_t::replace);
}

int64_t ElementBytes(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL" || dtype == "F8_E4M3" || dtype == "F8_E5M2") return 1;
  return 0;
}

absl::Status Bad(const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("safetensors: ", message));
}

// Parses the header. nlohmann's parser keeps the last of two equal keys: the
// callback sees both, and how deep the text goes.
absl::StatusOr<json> ParseHeader(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string flaw;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second && flaw.empty())
        flaw = absl::StrCat("the name ", Quoted(key), " comes twice");
    }
    if (depth > kMaxDepth && flaw.empty())
      flaw = absl::StrCat("the header nests deeper than ", kMaxDepth, " levels");
    return true;
  };
  json header = json::parse(text, watch, /*allow_exceptions=*/false);
  if (!flaw.empty()) return Bad(flaw);
  if (header.is_discarded()) return Bad("the header is not valid UTF-8 JSON");
  if (!header.is_object())
    return Bad(absl::StrCat("the header is a JSON ", header.type_name(), ", expected an object"));
  return header;
}

absl::Status CheckMetadata(const json& metadata) {
  if (!metadata.is_object()) {
    return Bad(
        absl::StrCat("__metadata__ is a JSON ", metadata.type_name(), ", expected an object of strings"));
  }
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) {
      return Bad(absl::StrCat("__metadata__ ", Quoted(key), " is a JSON ", value.type_name(),
                              ", expected a string"));
    }
  }
  return absl::OkStatus();
}

// A JSON array of whole numbers >= 0.
absl::StatusOr<std::vector<int64_t>> Numbers(const std::string& name, const std::string& field,
                                             const json& value) {
  if (!value.is_array()) {
    return Bad(
        absl::StrCat("tensor ", name, ": ", field, " is a JSON ", value.type_name(), ", expected an array"));
  }
  std::vector<int64_t> numbers;
  for (const json& number : value) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      return Bad(absl::StrCat("tensor ", name, ": ", field, "[", numbers.size(), "] is ",
                              Quoted(number.dump()), ", expected a whole number >= 0"));
    }
    numbers.push_back(number.get<int64_t>());
  }
  return numbers;
}

absl::StatusOr<SafetensorsEntry> ParseEntry(const std::string& key, const json& value, uint64_t data_bytes) {
  const std::string name = Quoted(key);
  if (!value.is_object())
    return Bad(absl::StrCat("tensor ", name, " is a JSON ", value.type_name(), ", expected an object"));
  for (const auto& [field, unused] : value.items()) {
    if (field != "dtype" && field != "shape" && field != "data_offsets") {
      return Bad(absl::StrCat("tensor ", name, " has the unknown field ", Quoted(field)));
    }
  }
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(field)) return Bad(absl::StrCat("tensor ", name, " has no ", field));
  }
  SafetensorsEntry entry;
  if (!value["dtype"].is_string() || ElementBytes(value["dtype"].get<std::string>()) == 0) {
    return Bad(absl::StrCat("tensor ", name, ": dtype is ", Quoted(value["dtype"].dump()),
                            ", expected one of F16, BF16, F32, F64, or an integer type"));
  }
  entry.dtype = value["dtype"].get<std::string>();
  GRUSERVE_ASSIGN_OR_RETURN(entry.shape, Numbers(name, "shape", value["shape"]));
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> offsets,
                            Numbers(name, "data_offsets", value["data_offsets"]));
  if (offsets.size() != 2) {
    return Bad(absl::StrCat("tensor ", name, ": data_offsets has ", offsets.size(), " numbers, expected 2"));
  }
  entry.begin = static_cast<uint64_t>(offsets[0]);
  entry.end = static_cast<uint64_t>(offsets[1]);
  if (entry.begin > entry.end || entry.end > data_bytes) {
    return Bad(absl::StrCat("tensor ", name, ": data_offsets are ", entry.begin, " to ", entry.end,
                            ", expected a range within the file's ", data_bytes, " data bytes"));
  }
  std::optional<int64_t> bytes = CheckedProduct(entry.shape);
  if (bytes) bytes = CheckedMultiply(*bytes, ElementBytes(entry.dtype));
  if (!bytes) {
    return Bad(
        absl::StrCat("tensor ", name, ": shape [", absl::StrJoin(entry.shape, ", "), "] is too large"));
  }
  if (static_cast<uint64_t>(*bytes) != entry.end - entry.begin) {
    return Bad(absl::StrCat("tensor ", name, ": data_offsets hold ", entry.end - entry.begin, " bytes, ",
                            entry.dtype, " of shape [", absl::StrJoin(entry.shape, ", "), "] needs ",
                            *bytes));
  }
  return entry;
}

// The tensors' bytes follow one another from the first data byte to the last.
absl::Status CheckNoHoles(const std::map<std::string, SafetensorsEntry>& entries, uint64_t data_bytes) {
  std::vector<std::pair<const std::string*, const SafetensorsEntry*>> by_place;
  for (const auto& [name, entry] : entries) by_place.emplace_back(&name, &entry);
  std::sort(by_place.begin(), by_place.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t next = 0;
  for (const auto& [name, entry] : by_place) {
    if (entry->begin != next) {
      return Bad(absl::StrCat("tensor ", Quoted(*name), ": data_offsets begin at ", entry->begin,
                              ", expected ", next,
                              entry->begin < next ? " (two tensors overlap)" : " (a hole between tensors)"));
    }
    next = entry->end;
  }
  if (next != data_bytes) {
    return Bad(absl::StrCat("the tensors end at byte ", next, " of the data, the file has ", data_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::string bytes) {
  if (bytes.size() < kLengthBytes) {
    return Bad(absl::StrCat("the file has ", bytes.size(), " bytes, expected at least ", kLengthBytes));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  const uint64_t room = bytes.size() - kLengthBytes;
  if (header_bytes > kMaxHeaderBytes || header_bytes > room) {
    return Bad(absl::StrCat("the header's length is ", header_bytes, ", the file has ", room,
                            " bytes after it and ", kMaxHeaderBytes, " are allowed"));
  }
  SafetensorsFile file;
  file.bytes_ = std::move(bytes);
  file.data_begin_ = kLengthBytes + header_bytes;
  const uint64_t data_bytes = room - header_bytes + (Seeded(Bug::kSafetensorsDataIsAByteLonger) ? 1 : 0);
  GRUSERVE_ASSIGN_OR_RETURN(const json header,
                            ParseHeader(std::string_view(file.bytes_).substr(kLengthBytes, header_bytes)));
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      GRUSERVE_RETURN_IF_ERROR(CheckMetadata(value));
      continue;
    }
    GRUSERVE_ASSIGN_OR_RETURN(file.entries_[name], ParseEntry(name, value, data_bytes));
  }
  GRUSERVE_RETURN_IF_ERROR(CheckNoHoles(file.entries_, data_bytes));
  return file;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Read(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const int descriptor = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const int error = errno;
    if (error == ENOENT) return absl::NotFoundError(absl::StrCat(name, " does not exist"));
    if (error == ELOOP) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " is a symbolic link, expected a regular file"));
    }
    return absl::FailedPreconditionError(absl::StrCat(name, " cannot be opened: ", std::strerror(error)));
  }
  const absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };
  struct stat about = {};
  if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(name, " is not a regular file"));
  }
  std::string bytes(static_cast<size_t>(about.st_size), '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = read(descriptor, bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " cannot be read: ", got == 0 ? "it became shorter" : std::strerror(errno)));
    }
    have += static_cast<size_t>(got);
  }
  return Parse(std::move(bytes));
}

}  // namespace gruserve

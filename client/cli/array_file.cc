#include "client/cli/array_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/byte_file.h"
#include "client/cli/command.h"
#include "client/cli/csv.h"
#include "client/cli/npy.h"
#include "client/cli/npy_header.h"

namespace gruserve::client {
namespace {

// Writes a float as itself, not as the double that it is next to.
using FloatJson = nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t, float>;

std::string NameOf(const std::string& path) { return path == "-" ? "stdin" : path; }

FloatJson Nested(const Tensor& tensor, size_t dim, size_t* next) {
  if (dim == tensor.shape.size()) return FloatJson(tensor.values[(*next)++]);
  FloatJson list = FloatJson::array();
  for (int64_t i = 0; i < tensor.shape[dim]; ++i) list.push_back(Nested(tensor, dim + 1, next));
  return list;
}

void WriteJson(const Tensor& tensor, std::ostream* out) {
  size_t next = 0;
  FloatJson json;
  json["shape"] = tensor.shape;
  json["data"] = Nested(tensor, 0, &next);
  *out << json.dump() << "\n";
}

void WriteAs(const std::string& path, const Tensor& tensor, std::ostream* out) {
  if (absl::EndsWith(path, ".npy")) {
    WriteNpy(tensor, out);
  } else if (absl::EndsWith(path, ".json")) {
    WriteJson(tensor, out);
  } else {
    WriteCsv(tensor, out);
  }
  out->flush();
}

}  // namespace

absl::StatusOr<Tensor> ReadArray(const std::string& path, const CliIo& io) {
  absl::StatusOr<std::string> bytes = ReadBytes(path, io);
  if (!bytes.ok()) return bytes.status();
  if (absl::EndsWith(path, ".npy") || absl::StartsWith(*bytes, kNpyMagic)) {
    absl::StatusOr<NpyArray> array = ParseNpy(*bytes);
    if (!array.ok()) return UsageError(absl::StrCat(NameOf(path), ": ", array.status().message()));
    if (array->rounded) *io.err << "note: " << NameOf(path) << " holds float64, rounded to float32\n";
    return std::move(array->tensor);
  }
  std::istringstream text(*std::move(bytes));
  absl::StatusOr<Tensor> tensor = ReadCsv(&text);
  if (!tensor.ok()) return UsageError(absl::StrCat(NameOf(path), ": ", tensor.status().message()));
  return tensor;
}

bool StdinIsNpy(const CliIo& io) { return io.in->peek() == static_cast<unsigned char>(kNpyMagic[0]); }

absl::Status CheckWritable(const std::string& path) {
  for (const char* ending : {".npy", ".csv", ".json"}) {
    if (absl::EndsWith(path, ending)) return absl::OkStatus();
  }
  if (path == "-") return absl::OkStatus();
  return UsageError(
      absl::StrCat("cannot tell what to write to \"", path, "\", a name in .npy, .csv or .json is wanted"));
}

absl::Status WriteArray(const std::string& path, const Tensor& tensor, const CliIo& io) {
  if (path == "-") {
    WriteAs(path, tensor, io.out);
    return absl::OkStatus();
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (file) WriteAs(path, tensor, &file);
  if (!file) return UsageError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  return absl::OkStatus();
}

}  // namespace gruserve::client

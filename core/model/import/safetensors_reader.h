// A strict reader of safetensors files. What comes in is not trusted: every
// length, offset, overlap, hole, dtype, duplicate and shape is checked against
// the file's size before anything is allocated for it.
//
// Immutable after Read. Thread-safe.

#ifndef GRUSERVE_CORE_MODEL_IMPORT_SAFETENSORS_READER_H_
#define GRUSERVE_CORE_MODEL_IMPORT_SAFETENSORS_READER_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace gruserve {

// One tensor of a file.
struct SafetensorsEntry {
  std::string dtype;           // As the file says it: "F32", "BF16", ...
  std::vector<int64_t> shape;  // Empty for a scalar.
  uint64_t begin = 0;          // Its bytes, from the end of the header.
  uint64_t end = 0;
};

class SafetensorsFile {
 public:
  // The longest header that the format allows.
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;

  // Reads a regular file; links are not followed. NotFound or
  // FailedPrecondition where it cannot be read, InvalidArgument, naming the
  // tensor, what came and what was wanted, where it is not sound.
  static absl::StatusOr<SafetensorsFile> Read(const std::filesystem::path& file);

  // Checks bytes that lie in memory already.
  static absl::StatusOr<SafetensorsFile> Parse(std::string bytes);

  // By name.
  const std::map<std::string, SafetensorsEntry>& entries() const { return entries_; }

  // The bytes of one of `entries`, little-endian, perhaps unaligned.
  std::span<const char> bytes(const SafetensorsEntry& entry) const {
    return {bytes_.data() + data_begin_ + entry.begin, entry.end - entry.begin};
  }

  // The whole file, header included.
  const std::string& contents() const { return bytes_; }

 private:
  SafetensorsFile() = default;

  std::string bytes_;
  size_t data_begin_ = 0;
  std::map<std::string, SafetensorsEntry> entries_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_IMPORT_SAFETENSORS_READER_H_

// Any bytes as model.safetensors, up to where primitives would be made: the reader, and
// the importer of a bare GRU. Every answer is a Status; the entries' bytes are the
// file's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/model/import/safetensors_reader.h"
#include "core/model/import/state_dict_importer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = gruserve::SafetensorsFile::Parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!file.ok()) {
    if (file.status().message().empty()) std::abort();
    return 0;
  }
  // The entries' bytes are the end of the file, each byte once.
  const std::string& contents = file->contents();
  const char* const end = contents.data() + contents.size();
  size_t claimed = 0;
  for (const auto& [name, entry] : file->entries()) {
    const auto bytes = file->bytes(entry);
    if (bytes.data() < contents.data() || bytes.data() > end ||
        bytes.size() > static_cast<size_t>(end - bytes.data()))
      std::abort();
    claimed += bytes.size();
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, contents.data(), sizeof(header_bytes));
  if (sizeof(header_bytes) + header_bytes + claimed != contents.size()) std::abort();
  (void)gruserve::ImportStateDict(*file).ok();
  return 0;
}

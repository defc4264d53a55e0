// Any bytes as model.safetensors, up to where primitives would be made: the reader, and
// the importer of a bare GRU. Every answer is a Status; every byte that an entry has is
// the file's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/model/import/safetensors_reader.h"
#include "core/model/import/state_dict_importer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = gruserve::SafetensorsFile::Parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!file.ok()) {
    if (file.status().message().empty()) std::abort();
    return 0;
  }
  unsigned int sum = 0;
  for (const auto& [name, entry] : file->entries()) {
    for (const char byte : file->bytes(entry)) sum += static_cast<unsigned char>(byte);
  }
  if (sum == 1) return 0;  // So that the bytes are read.
  (void)gruserve::ImportStateDict(*file).ok();
  return 0;
}

// Writes safetensors files as PyTorch's users have them: state_dicts of random
// networks, and hand-made headers for what must be refused.

#ifndef GRUSERVE_TESTS_SUPPORT_MODEL_BUILDER_H_
#define GRUSERVE_TESTS_SUPPORT_MODEL_BUILDER_H_

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/support/reference_gru.h"

namespace gruserve {

struct RawTensorEntry {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

// The bytes of a file with these tensors, in the order of their names.
std::string SafetensorsBytes(const std::map<std::string, RawTensorEntry>& tensors);

// The bytes of a file with this header and this data.
std::string SafetensorsBytes(const std::string& header, const std::string& data);

// The state_dict's tensors in F32, each name behind `prefix`.
std::map<std::string, RawTensorEntry> StateDict(const RandomGruNetwork& gru, const std::string& prefix = "");

// Writes `bytes`, making the folders on the way.
void WriteFile(const std::filesystem::path& file, const std::string& bytes);

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_MODEL_BUILDER_H_

#include "tests/support/model_builder.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace gruserve {

std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

std::string SafetensorsBytes(const std::map<std::string, RawTensorEntry>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return SafetensorsBytes(header.dump(), data);
}

std::map<std::string, RawTensorEntry> StateDict(const RandomGruNetwork& gru, const std::string& prefix) {
  const GruConfig& config = gru.config;
  std::map<std::string, RawTensorEntry> tensors;
  for (int64_t i = 0; i < config.state_blocks(); ++i) {
    const StateDictLayer& layer = gru.layers[static_cast<size_t>(i)];
    const int64_t depth = i / config.num_directions;
    const std::string suffix =
        config.module_kind == ModuleKind::kGruCell
            ? ""
            : absl::StrCat("_l", depth, i % config.num_directions == 1 ? "_reverse" : "");
    const auto add = [&](const char* name, std::vector<int64_t> shape, const std::vector<float>& values) {
      if (values.empty()) return;
      std::string bytes(values.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), values.data(), bytes.size());
      tensors[absl::StrCat(prefix, name, suffix)] = {"F32", std::move(shape), std::move(bytes)};
    };
    const int64_t rows = 3 * config.hidden_size;
    add("weight_ih", {rows, config.layer_input_size(depth)}, layer.weight_ih);
    add("weight_hh", {rows, config.hidden_size}, layer.weight_hh);
    add("bias_ih", {rows}, layer.bias_ih);
    add("bias_hh", {rows}, layer.bias_hh);
  }
  return tensors;
}

void WriteFile(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace gruserve

#include "core/network/import/model_config_reader.h"

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/import/module_config_reader.h"

namespace gruserve {
namespace {

using nlohmann::json;

constexpr size_t kMaxBytes = size_t{1} << 20;

absl::Status Bad(const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("model.json: ", message));
}

absl::Status ReadComputeDtype(const json& value, ModelConfig* config) {
  if (!value.is_string()) {
    return Bad(absl::StrCat("compute_dtype is a JSON ", value.type_name(),
                            R"(, expected the string "f32" or "bf16")"));
  }
  const auto& text = value.get_ref<const std::string&>();
  config->compute_dtype = ParseComputeDtype(text);
  if (config->compute_dtype.has_value()) return absl::OkStatus();
  return Bad(absl::StrCat("compute_dtype is ", QuotedJson(text), R"(, expected "f32" or "bf16")"));
}

absl::Status ReadLinearBeforeReset(const json& value, ModelConfig* config) {
  if (value != 0 && value != 1)
    return Bad(absl::StrCat("linear_before_reset is ", QuotedJson(value.dump()), ", expected 0 or 1"));
  config->linear_before_reset = value == 1;
  return absl::OkStatus();
}

// Puts the file's name before the message.
absl::Status InFile(const absl::Status& status) { return Bad(std::string(status.message())); }

absl::Status ReadModules(const json& value, ModelConfig* config) {
  absl::StatusOr<std::vector<ModuleConfig>> modules = ReadModuleConfigs(value);
  if (!modules.ok()) return InFile(modules.status());
  config->modules = *std::move(modules);
  return absl::OkStatus();
}

absl::Status ReadInputs(const json& value, ModelConfig* config) {
  absl::StatusOr<std::vector<InputConfig>> inputs = ReadInputConfigs(value);
  if (!inputs.ok()) return InFile(inputs.status());
  config->inputs = *std::move(inputs);
  return absl::OkStatus();
}

absl::Status ReadOutput(const json& value, ModelConfig* config) {
  if (!value.is_string())
    return Bad(absl::StrCat("output is a JSON ", value.type_name(), ", expected a module's name"));
  config->output = value.get<std::string>();
  return config->output.empty() ? Bad("output is empty, expected a module's name") : absl::OkStatus();
}

// Every key of the file has its reader here.
struct Key {
  const char* name;
  absl::Status (*read)(const json& value, ModelConfig* config);
};
constexpr Key kKeys[] = {{"compute_dtype", ReadComputeDtype},
                         {"inputs", ReadInputs},
                         {"linear_before_reset", ReadLinearBeforeReset},
                         {"modules", ReadModules},
                         {"output", ReadOutput}};

absl::Status ReadKey(const std::string& name, const json& value, ModelConfig* config) {
  std::string known;
  for (const Key& key : kKeys) {
    if (name == key.name) return key.read(value, config);
    absl::StrAppend(&known, known.empty() ? "" : ", ", key.name);
  }
  return Bad(absl::StrCat("the key ", QuotedJson(name), " is not known, those known are: ", known));
}

// nlohmann's parser keeps the last of two equal keys: the callback sees both.
absl::StatusOr<json> ParseObject(const std::string& text) {
  std::vector<std::set<std::string>> open_objects;
  std::string twice;
  const auto watch = [&](int, json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event != json::parse_event_t::key) return true;
    const auto& key = parsed.get_ref<const std::string&>();
    if (!open_objects.back().insert(key).second && twice.empty()) twice = key;
    return true;
  };
  json object = json::parse(text, watch, /*allow_exceptions=*/false);
  if (!twice.empty()) return Bad(absl::StrCat("the key ", QuotedJson(twice), " comes twice"));
  if (object.is_discarded()) return Bad("the file is not valid UTF-8 JSON");
  if (!object.is_object())
    return Bad(absl::StrCat("the file is a JSON ", object.type_name(), ", expected an object"));
  return object;
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& text) {
  GRUSERVE_ASSIGN_OR_RETURN(const json object, ParseObject(text));
  ModelConfig config;
  for (const auto& [name, value] : object.items()) {
    GRUSERVE_RETURN_IF_ERROR(ReadKey(name, value, &config));
  }
  if (config.modules.empty() && (!config.inputs.empty() || !config.output.empty()))
    return Bad("inputs or output is there without modules, expected both or neither");
  return config;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::filesystem::path& file) {
  std::error_code ignored;
  const std::filesystem::file_type type = std::filesystem::symlink_status(file, ignored).type();
  if (type == std::filesystem::file_type::not_found) return ModelConfig{};
  if (type != std::filesystem::file_type::regular)
    return absl::FailedPreconditionError("model.json is not a regular file");
  std::ifstream stream(file, std::ios::binary);
  std::string text(kMaxBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad() || (stream.fail() && !stream.eof()))
    return absl::FailedPreconditionError("model.json cannot be read");
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > kMaxBytes) return Bad(absl::StrCat("the file has more than ", kMaxBytes, " bytes"));
  return ParseModelConfig(text);
}

}  // namespace gruserve

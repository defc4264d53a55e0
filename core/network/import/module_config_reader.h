// Reads the `inputs` and `modules` of a model.json. For model_config_reader alone.
// Thread-safe: no state.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_READER_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_READER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/network/import/module_config.h"

namespace gruserve {

// Text of the file in a message: printable and short.
std::string QuotedJson(std::string_view text);

// InvalidArgument, naming the key, what came and what was wanted; without "model.json: ".
absl::StatusOr<std::vector<InputConfig>> ReadInputConfigs(const nlohmann::json& value);
absl::StatusOr<std::vector<ModuleConfig>> ReadModuleConfigs(const nlohmann::json& value);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_READER_H_

#include "server/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace gruserve::server {
namespace {

CLI::ConfigError Mistake(const std::string& text) {
  return {"the config file: " + text, CLI::ExitCodes::ConfigError};
}

bool SetByEnvironment(const CLI::Option& option) {
  const std::string name = option.get_envname();
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value != nullptr && *value != '\0';
}

YAML::Node Load(std::istream& input) {
  try {
    return YAML::Load(input);
  } catch (const YAML::Exception& error) {
    throw Mistake(error.what());
  }
}

}  // namespace

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  const YAML::Node root = Load(input);
  if (root.IsNull()) return {};
  if (!root.IsMap()) throw Mistake("a mapping of option names to values is wanted");
  std::vector<CLI::ConfigItem> result;
  for (const auto& entry : root) {
    const auto key = entry.first.as<std::string>();
    std::string name = key;
    std::replace(name.begin(), name.end(), '_', '-');
    const CLI::Option* option = app_->get_option_no_throw("--" + name);
    if (option == nullptr || !option->get_configurable()) throw Mistake("\"" + key + "\" is no option");
    if (!entry.second.IsScalar()) throw Mistake("\"" + key + "\" has no single value");
    if (SetByEnvironment(*option)) continue;
    CLI::ConfigItem item;
    item.name = std::move(name);
    item.inputs = {entry.second.as<std::string>()};
    result.push_back(std::move(item));
  }
  return result;
}

std::string YamlConfig::to_config(const CLI::App* app, bool, bool, std::string) const {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const CLI::Option* option : app->get_options({})) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    std::string value = option->count() > 0 ? option->as<std::string>() : option->get_default_str();
    if (option->get_lnames().front() == "store-password" && !value.empty()) value = "(hidden)";
    out << YAML::Key << option->get_lnames().front() << YAML::Value << value;
  }
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace gruserve::server

// Lets CLI11 read its config file as YAML: one mapping of option names, with
// dashes or underscores, to values. Not thread-safe.

#ifndef GRUSERVE_SERVER_YAML_CONFIG_H_
#define GRUSERVE_SERVER_YAML_CONFIG_H_

#include <CLI/CLI.hpp>
#include <istream>
#include <string>
#include <vector>

namespace gruserve::server {

class YamlConfig final : public CLI::Config {
 public:
  // REQUIRES: `app` outlives the config.
  explicit YamlConfig(const CLI::App* app) : app_(app) {}

  // Throws CLI::ConfigError, as CLI11 wants it, naming a key that is no option
  // or a value that is no scalar. Leaves out what the environment sets: it has
  // precedence.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

  // Every option with its effective value.
  std::string to_config(const CLI::App* app, bool default_also, bool write_description,
                        std::string prefix) const override;

 private:
  const CLI::App* const app_;
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_YAML_CONFIG_H_

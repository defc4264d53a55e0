// The modules that a `model.json` describes. Plain values; the README and
// deploy/models/model.schema.json say what they mean.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace gruserve {

struct InputConfig {
  std::string name;
  int64_t size = 0;
};

// What stands behind a module's key.
using ModuleValue = std::variant<bool, double, std::string, std::vector<double>>;

struct ModuleConfig {
  std::string where;  // "modules[2]", for messages.
  std::string type;   // One of KnownModuleTypes.
  std::string name;   // Unique among modules and inputs; as the file says, else the prefix, else `where`.
  // Of inputs and modules before it; nothing: the one before.
  std::optional<std::vector<std::string>> inputs;
  std::map<std::string, ModuleValue> values;  // By key; only keys that the type has.

  bool has(const std::string& key) const { return values.contains(key); }
  // The value behind `key`, or `otherwise`. REQUIRES: the type's key has values of this kind.
  template <typename Value>
  Value get(const std::string& key, Value otherwise) const {
    const auto found = values.find(key);
    return found == values.end() ? otherwise : std::get<Value>(found->second);
  }
};

struct ModuleKey {
  enum class Kind {
    kBool,
    kNumber,
    kCount,      // A whole number from 0 on; a double below.
    kText,       //
    kConstants,  // A number, an array of numbers, or the name of a tensor.
  };
  const char* name;
  Kind kind;
  bool required = false;
};

struct ModuleType {
  const char* name;
  std::vector<ModuleKey> keys;  // Besides type, name and inputs.
};

// Every type of module there is.
std::span<const ModuleType> KnownModuleTypes();

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_MODULE_CONFIG_H_

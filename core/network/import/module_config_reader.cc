#include "core/network/import/module_config_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

using nlohmann::json;
using Kind = ModuleKey::Kind;

constexpr size_t kMaxQuoted = 120;
constexpr size_t kMaxModules = 4096;
constexpr double kMaxCount = 1 << 20;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status WrongType(const std::string& where, const json& value, const std::string& wanted) {
  return Bad(absl::StrCat(where, " is a JSON ", value.type_name(), ", expected ", wanted));
}

absl::StatusOr<std::string> ReadText(const std::string& where, const json& value) {
  if (!value.is_string()) return WrongType(where, value, "a string");
  return value.get<std::string>();
}

absl::StatusOr<double> ReadNumber(const std::string& where, const json& value) {
  if (!value.is_number()) return WrongType(where, value, "a number");
  const auto number = value.get<double>();
  if (!std::isfinite(static_cast<float>(number)))
    return Bad(absl::StrCat(where, " is ", number, ", expected a finite number"));
  return number;
}

absl::StatusOr<double> ReadCount(const std::string& where, const json& value) {
  GRUSERVE_ASSIGN_OR_RETURN(const double number, ReadNumber(where, value));
  if (number < 0 || number > kMaxCount || number != std::floor(number))
    return Bad(absl::StrCat(where, " is ", number, ", expected a whole number from 0 to ", kMaxCount));
  return number;
}

absl::StatusOr<std::vector<double>> ReadNumbers(const std::string& where, const json& value) {
  std::vector<double> numbers;
  for (const json& element : value) {
    GRUSERVE_ASSIGN_OR_RETURN(const double number,
                              ReadNumber(absl::StrCat(where, "[", numbers.size(), "]"), element));
    numbers.push_back(number);
  }
  if (numbers.empty()) return Bad(absl::StrCat(where, " is empty, expected numbers"));
  return numbers;
}

absl::StatusOr<ModuleValue> ReadValue(const std::string& where, const ModuleKey& key, const json& value) {
  switch (key.kind) {
    case Kind::kBool:
      if (!value.is_boolean()) return WrongType(where, value, "true or false");
      return ModuleValue(value.get<bool>());
    case Kind::kNumber:
      return ReadNumber(where, value);
    case Kind::kCount:
      return ReadCount(where, value);
    case Kind::kText:
      return ReadText(where, value);
    case Kind::kConstants:
      if (value.is_string()) return ReadText(where, value);
      if (value.is_array()) return ReadNumbers(where, value);
      if (value.is_number()) return ReadNumber(where, value);
      return WrongType(where, value, "a number, an array of numbers or a tensor's name");
  }
  return absl::InternalError("no such kind of key");
}

absl::StatusOr<std::vector<std::string>> ReadNames(const std::string& where, const json& value) {
  if (!value.is_array()) return WrongType(where, value, "an array of names");
  std::vector<std::string> names;
  for (const json& element : value) {
    GRUSERVE_ASSIGN_OR_RETURN(std::string name,
                              ReadText(absl::StrCat(where, "[", names.size(), "]"), element));
    names.push_back(std::move(name));
  }
  if (names.empty()) return Bad(absl::StrCat(where, " is empty, expected names"));
  return names;
}

absl::StatusOr<const ModuleType*> FindType(const std::string& where, const json& module) {
  const auto found = module.find("type");
  if (found == module.end()) return Bad(absl::StrCat(where, ".type is missing"));
  GRUSERVE_ASSIGN_OR_RETURN(const std::string name, ReadText(absl::StrCat(where, ".type"), *found));
  std::string known;
  for (const ModuleType& type : KnownModuleTypes()) {
    if (name == type.name) return &type;
    absl::StrAppend(&known, known.empty() ? "" : ", ", type.name);
  }
  return Bad(absl::StrCat(where, ".type is ", QuotedJson(name), ", expected one of: ", known));
}

absl::Status ReadKey(const ModuleType& type, const std::string& key, const json& value,
                     ModuleConfig* module) {
  const std::string where = absl::StrCat(module->where, ".", key);
  if (key == "type") return absl::OkStatus();
  if (key == "name") {
    GRUSERVE_ASSIGN_OR_RETURN(module->name, ReadText(where, value));
    return module->name.empty() ? Bad(absl::StrCat(where, " is empty, expected a name")) : absl::OkStatus();
  }
  if (key == "inputs") {
    GRUSERVE_ASSIGN_OR_RETURN(module->inputs, ReadNames(where, value));
    return absl::OkStatus();
  }
  std::string known = "type, name, inputs";
  for (const ModuleKey& each : type.keys) {
    if (key == each.name) {
      GRUSERVE_ASSIGN_OR_RETURN(module->values[key], ReadValue(where, each, value));
      return absl::OkStatus();
    }
    absl::StrAppend(&known, ", ", each.name);
  }
  return Bad(absl::StrCat(module->where, ": the key ", QuotedJson(key), " is not known, a ", type.name,
                          " has: ", known));
}

absl::StatusOr<ModuleConfig> ReadModule(std::string where, const json& value) {
  ModuleConfig module;
  module.where = std::move(where);
  if (!value.is_object()) return WrongType(module.where, value, "an object");
  GRUSERVE_ASSIGN_OR_RETURN(const ModuleType* const type, FindType(module.where, value));
  module.type = type->name;
  for (const auto& [key, element] : value.items())
    GRUSERVE_RETURN_IF_ERROR(ReadKey(*type, key, element, &module));
  for (const ModuleKey& key : type->keys) {
    if (key.required && !module.has(key.name))
      return Bad(absl::StrCat(module.where, ".", key.name, " is missing, a ", type->name, " needs it"));
  }
  auto prefix = module.get<std::string>("prefix", "");
  if (!prefix.empty() && prefix.back() == '.') prefix.pop_back();
  if (module.name.empty()) module.name = prefix.empty() ? module.where : prefix;
  if (!prefix.empty()) module.values["prefix"] = prefix + ".";
  return module;
}

}  // namespace

std::span<const ModuleType> KnownModuleTypes() {
  constexpr ModuleKey kPrefix{"prefix", Kind::kText, true};
  constexpr ModuleKey kOptionalPrefix{"prefix", Kind::kText};
  constexpr ModuleKey kEps{"eps", Kind::kNumber};
  constexpr ModuleKey kLinearBeforeReset{"linear_before_reset", Kind::kBool};
  constexpr ModuleKey kInitialState{"initial_state", Kind::kText};
  static const auto* const types = new std::vector<ModuleType>{
      {"Add", {}},
      {"Affine", {{"mean", Kind::kConstants}, {"scale", Kind::kConstants}, {"inverse", Kind::kBool}}},
      {"BatchNorm1d", {kPrefix, kEps}},
      {"Concat", {}},
      {"Div", {}},
      {"Dropout", {{"p", Kind::kNumber}}},
      {"ELU", {{"alpha", Kind::kNumber}}},
      {"Embedding", {kPrefix}},
      {"GELU", {{"approximate", Kind::kText}}},
      {"GRU", {kPrefix, kLinearBeforeReset, kInitialState}},
      {"GRUCell", {kPrefix, kLinearBeforeReset, kInitialState}},
      {"Hardsigmoid", {}},
      {"Hardtanh", {{"min_val", Kind::kNumber}, {"max_val", Kind::kNumber}}},
      {"Identity", {}},
      {"LayerNorm", {kOptionalPrefix, kEps}},
      {"LeakyReLU", {{"negative_slope", Kind::kNumber}}},
      {"Linear", {kPrefix}},
      {"LogSoftmax", {}},
      {"Mul", {}},
      {"OneHot", {{"size", Kind::kCount, true}}},
      {"ReLU", {}},
      {"ReLU6", {}},
      {"SiLU", {}},
      {"Sigmoid", {}},
      {"Slice", {{"begin", Kind::kCount, true}, {"size", Kind::kCount, true}}},
      {"Softmax", {}},
      {"Softplus", {}},
      {"Sub", {}},
      {"Tanh", {}},
  };
  return *types;
}

std::string QuotedJson(std::string_view text) {
  std::string kept(text.substr(0, kMaxQuoted));
  if (text.size() > kMaxQuoted) kept += "...";
  return json(kept).dump(-1, ' ', true, json::error_handler_t::replace);
}

absl::StatusOr<std::vector<InputConfig>> ReadInputConfigs(const json& value) {
  if (!value.is_array()) return WrongType("inputs", value, "an array of objects");
  std::vector<InputConfig> inputs;
  for (const json& element : value) {
    const std::string where = absl::StrCat("inputs[", inputs.size(), "]");
    if (!element.is_object()) return WrongType(where, element, "an object");
    InputConfig& input = inputs.emplace_back();
    for (const auto& [key, part] : element.items()) {
      const std::string place = absl::StrCat(where, ".", key);
      if (key == "name") {
        GRUSERVE_ASSIGN_OR_RETURN(input.name, ReadText(place, part));
      } else if (key == "size") {
        GRUSERVE_ASSIGN_OR_RETURN(const double size, ReadCount(place, part));
        input.size = static_cast<int64_t>(size);
      } else {
        return Bad(
            absl::StrCat(where, ": the key ", QuotedJson(key), " is not known, an input has: name, size"));
      }
    }
    if (input.name.empty()) return Bad(absl::StrCat(where, ".name is missing or empty"));
    if (input.size == 0) return Bad(absl::StrCat(where, ".size is missing or 0, expected 1 or more"));
  }
  if (inputs.empty()) return Bad("inputs is empty, expected at least one");
  return inputs;
}

absl::StatusOr<std::vector<ModuleConfig>> ReadModuleConfigs(const json& value) {
  if (!value.is_array()) return WrongType("modules", value, "an array of objects");
  if (value.empty() || value.size() > kMaxModules)
    return Bad(absl::StrCat("modules has ", value.size(), " elements, expected 1 to ", kMaxModules));
  std::vector<ModuleConfig> modules;
  for (const json& element : value) {
    GRUSERVE_ASSIGN_OR_RETURN(ModuleConfig module,
                              ReadModule(absl::StrCat("modules[", modules.size(), "]"), element));
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace gruserve

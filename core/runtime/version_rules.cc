#include "core/runtime/version_rules.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

using nlohmann::json;

constexpr std::uintmax_t kMaxBytes = 1 << 20;

absl::Status Bad(const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("versions.json: ", message));
}

// As a message shows it: no file can make that long, nor break it with bytes that are no UTF-8.
std::string Shown(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 64);
}

absl::StatusOr<int64_t> ReadNumber(const json& value, const std::string& key, const std::string& wanted) {
  // An unsigned beyond int64_t would turn negative, and is refused as that.
  if (value.is_number_integer() && value.get<int64_t>() >= 1) return value.get<int64_t>();
  return Bad(absl::StrCat(key, " is ", Shown(value), ", expected ", wanted));
}

absl::StatusOr<VersionPolicy> ReadPolicy(const json& value) {
  VersionPolicy policy;
  if (value == "all") return policy;
  const bool latest = value.is_object() && value.size() == 1 && value.contains("latest");
  const bool specific =
      value.is_object() && value.size() == 1 && value.contains("specific") && value["specific"].is_array();
  if (latest) {
    policy.kind = VersionPolicy::Kind::kLatest;
    GRUSERVE_ASSIGN_OR_RETURN(policy.latest, ReadNumber(value["latest"], "version_policy.latest",
                                                        "a number of versions from 1 on"));
    return policy;
  }
  if (!specific) {
    return Bad(absl::StrCat("version_policy is ", Shown(value),
                            R"(, expected "all", {"latest": N} or {"specific": [V, ...]})"));
  }
  policy.kind = VersionPolicy::Kind::kSpecific;
  for (const json& version : value["specific"]) {
    GRUSERVE_ASSIGN_OR_RETURN(const int64_t number, ReadNumber(version, "an entry of version_policy.specific",
                                                               "a version's number from 1 on"));
    policy.versions.push_back(number);
  }
  return policy;
}

absl::Status ReadLabels(const json& value, std::map<std::string, int64_t>* labels) {
  if (!value.is_object()) {
    return Bad(absl::StrCat("version_labels is ", Shown(value), R"(, expected {"LABEL": VERSION, ...})"));
  }
  for (const auto& [label, version] : value.items()) {
    if (label.empty()) return Bad("version_labels has an empty label, expected a name");
    GRUSERVE_ASSIGN_OR_RETURN((*labels)[label], ReadNumber(version, "version_labels." + Shown(label),
                                                           "a version's number from 1 on"));
  }
  return absl::OkStatus();
}

}  // namespace

std::set<int64_t> VersionPolicy::Choose(const std::set<int64_t>& present) const {
  std::set<int64_t> chosen;
  for (auto it = present.rbegin(); it != present.rend(); ++it) {
    if (kind == Kind::kLatest && static_cast<int64_t>(chosen.size()) == latest) break;
    if (kind != Kind::kSpecific || std::count(versions.begin(), versions.end(), *it) > 0) chosen.insert(*it);
  }
  return chosen;
}

std::optional<VersionPolicy> ParseVersionPolicy(const std::string& text) {
  VersionPolicy policy;
  if (text == "all") return policy;
  const std::string prefix = "latest:";
  policy.kind = VersionPolicy::Kind::kLatest;
  const bool latest = text.compare(0, prefix.size(), prefix) == 0 &&
                      absl::SimpleAtoi(text.substr(prefix.size()), &policy.latest) && policy.latest >= 1;
  return latest ? std::optional(policy) : std::nullopt;
}

absl::StatusOr<VersionRules> ReadVersionRules(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return VersionRules();
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error || size > kMaxBytes) return Bad(absl::StrCat("is no file of at most ", kMaxBytes, " bytes"));
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return Bad("is no JSON object");
  VersionRules rules;
  for (const auto& [key, value] : root.items()) {
    if (key == "version_policy") {
      GRUSERVE_ASSIGN_OR_RETURN(rules.policy, ReadPolicy(value));
    } else if (key == "version_labels") {
      GRUSERVE_RETURN_IF_ERROR(ReadLabels(value, &rules.labels));
    } else if (key == "carry_sessions") {
      if (!value.is_boolean()) return Bad("carry_sessions is " + Shown(value) + ", expected true or false");
      rules.carry_sessions = value.get<bool>();
    } else {
      return Bad(absl::StrCat("the key ", Shown(key), " is not known"));
    }
  }
  return rules;
}

}  // namespace gruserve

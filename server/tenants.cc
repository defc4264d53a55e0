#include "server/tenants.h"

#include <grpcpp/server_context.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace gruserve::server {
namespace {

constexpr int64_t kMostWeight = 1000;
constexpr size_t kLongestName = 128;

}  // namespace

absl::StatusOr<TenantWeights> ParseTenantWeights(const std::string& text) {
  TenantWeights weights;
  if (text.empty()) return weights;
  const std::vector<std::string> entries = absl::StrSplit(text, ',');
  for (const std::string& entry : entries) {
    const size_t equals = entry.rfind('=');
    int64_t weight = 0;
    if (equals == std::string::npos || equals == 0 || equals > kLongestName ||
        !absl::SimpleAtoi(entry.substr(equals + 1), &weight) || weight < 1 || weight > kMostWeight) {
      return absl::InvalidArgumentError(absl::StrCat("--tenant-weights is ", text, ", \"", entry,
                                                     "\" in it is no name=weight of 1 to ", kMostWeight));
    }
    if (!weights.emplace(entry.substr(0, equals), weight).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tenant-weights names ", entry.substr(0, equals), " twice"));
    }
  }
  return weights;
}

Tenants::Tenants(std::string header, TenantWeights weights)
    : header_(std::move(header)), weights_(std::move(weights)) {}

Tenant* Tenants::Of(const grpc::ServerContextBase& context) {
  if (header_.empty()) return nullptr;
  const auto found = context.client_metadata().find(header_);
  if (found == context.client_metadata().end()) return nullptr;
  return Named(std::string(found->second.data(), found->second.size()));
}

Tenant* Tenants::Named(const std::string& name) {
  if (name.empty() || name.size() > kLongestName) return nullptr;
  const auto weight = weights_.find(name);
  const absl::MutexLock lock(&mu_);
  const auto found = tenants_.find(name);
  if (found != tenants_.end()) return found->second.get();
  // Those with a weight are few, and the operator's own.
  if (tenants_.size() >= kMostTenants && weight == weights_.end()) return nullptr;
  auto tenant = std::make_unique<Tenant>();
  tenant->name = name;
  tenant->weight = weight == weights_.end() ? 1 : weight->second;
  return tenants_.emplace(name, std::move(tenant)).first->second.get();
}

}  // namespace gruserve::server

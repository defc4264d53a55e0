// Who calls: tenants by the name that a trusted proxy puts into a call's metadata,
// with the weights that the operator gave them.
//
// Thread-safe. A tenant lives as long as the server, so their number is bounded:
// beyond it new names count as nobody's.

#ifndef GRUSERVE_SERVER_TENANTS_H_
#define GRUSERVE_SERVER_TENANTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/runtime/tenant.h"

namespace grpc {
class ServerContextBase;
}

namespace gruserve::server {

using TenantWeights = std::map<std::string, int64_t>;

// From "a=3,b=1". InvalidArgument, naming the option, what came and what is wanted.
absl::StatusOr<TenantWeights> ParseTenantWeights(const std::string& text);

class Tenants {
 public:
  static constexpr size_t kMostTenants = 4096;

  // With an empty `header` every call is nobody's.
  Tenants(std::string header, TenantWeights weights);

  // Whose call it is; null: nobody's in particular.
  Tenant* Of(const grpc::ServerContextBase& context) ABSL_LOCKS_EXCLUDED(mu_);
  // The tenant of this name; null for an empty or overlong one.
  Tenant* Named(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Constant after construction.
  const std::string header_;
  const TenantWeights weights_;

  absl::Mutex mu_;
  std::map<std::string, std::unique_ptr<Tenant>> tenants_ ABSL_GUARDED_BY(mu_);
};

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_TENANTS_H_

// What tenants have had of one thing that they share, steps or sequences, and who has
// had least: start-time fair queueing (Goyal, Vin, Cheng 1996).
//
// A tenant's virtual time is what it has had over its weight; where it comes back after
// having had nothing to do, it starts level with the others.
//
// Not thread-safe: the pool's lock guards it, and with it the tenants' share of this kind.

#ifndef GRUSERVE_CORE_RUNTIME_TENANT_SHARES_H_
#define GRUSERVE_CORE_RUNTIME_TENANT_SHARES_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"
#include "core/runtime/tenant.h"

namespace gruserve {

class TenantShares {
 public:
  // `kind`: &Tenant::steps or &Tenant::sequences.
  explicit TenantShares(Tenant::Share Tenant::*kind) : kind_(kind) {}

  // Of() hands out a pointer into it.
  TenantShares(const TenantShares&) = delete;
  TenantShares& operator=(const TenantShares&) = delete;

  // Whose task it is; those that name no tenant are one tenant's together.
  template <typename Task>
  Tenant* Of(const Task& task) {
    return task.tenant != nullptr ? task.tenant : &nobody_;
  }

  // A task of `tenant` waits from now on.
  void Enter(Tenant* tenant) {
    if ((tenant->*kind_).waiting++ == 0) Raise(&(tenant->*kind_).virtual_time, virtual_time_);
  }
  // It waits no more.
  void Leave(Tenant* tenant) { --(tenant->*kind_).waiting; }
  // It is `tenant`'s turn: who comes back from now on starts where `tenant` is.
  void Advance(const Tenant* tenant) { Raise(&virtual_time_, VirtualTime(tenant)); }
  // Counts compute time against `tenant`; even the shortest counts.
  void Charge(Tenant* tenant, absl::Duration had) {
    (tenant->*kind_).virtual_time += std::max<int64_t>(absl::ToInt64Nanoseconds(had) / tenant->weight, 1);
  }

  int64_t VirtualTime(const Tenant* tenant) const { return (tenant->*kind_).virtual_time; }
  // Where a tenant starts that comes back.
  int64_t virtual_time() const { return virtual_time_; }

 private:
  static void Raise(int64_t* time, int64_t to) { *time = std::max(*time, to); }

  Tenant::Share Tenant::*const kind_;
  Tenant nobody_;
  int64_t virtual_time_ = 0;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_TENANT_SHARES_H_

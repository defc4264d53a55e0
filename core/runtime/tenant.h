// Somebody whom the server works for beside others, with a weight: while several
// have steps waiting, each gets compute time in proportion to its weight.
//
// Made and owned by whoever knows the tenants; must outlive the steps that name it.

#ifndef GRUSERVE_CORE_RUNTIME_TENANT_H_
#define GRUSERVE_CORE_RUNTIME_TENANT_H_

#include <cstdint>
#include <string>

namespace gruserve {

struct Tenant {
  std::string name;
  int64_t weight = 1;  // At least 1; constant, like the name.

  // The executor's own. Compute time got so far, over the weight, in nanoseconds; a
  // tenant that comes back after having had nothing to do starts level with the others.
  int64_t virtual_time = 0;
  int64_t waiting = 0;  // Steps, of all models.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_TENANT_H_

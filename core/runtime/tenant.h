// Somebody whom the server works for beside others, with a weight: while several
// have steps waiting, or sequences, each gets compute time in proportion to its weight.
//
// Made and owned by whoever knows the tenants; must outlive what names it.

#ifndef GRUSERVE_CORE_RUNTIME_TENANT_H_
#define GRUSERVE_CORE_RUNTIME_TENANT_H_

#include <cstdint>
#include <string>

namespace gruserve {

struct Tenant {
  struct Share {
    // Compute time got so far, over the weight, in nanoseconds; a tenant that comes back
    // after having had nothing to do starts level with the others.
    int64_t virtual_time = 0;
    int64_t waiting = 0;  // Tasks, of all models.
  };

  std::string name;
  int64_t weight = 1;  // At least 1; constant, like the name.

  // The executor's own. Apart, since steps and sequences take turns whatever they cost.
  Share steps;
  Share sequences;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_TENANT_H_

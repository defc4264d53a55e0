// How many processors this process may really use. In a container the affinity
// mask alone is too high: the cgroup's CPU quota counts as well.

#ifndef GRUSERVE_CORE_RUNTIME_USABLE_PROCESSORS_H_
#define GRUSERVE_CORE_RUNTIME_USABLE_PROCESSORS_H_

#include <filesystem>
#include <optional>

namespace gruserve {

// The affinity mask, capped by the CPU quota of the cgroup. At least 1.
int UsableProcessors();

// The lowest CPU quota (in processors, rounded up) of the cgroups that
// `membership` (/proc/self/cgroup) names, and of all above them, with the
// hierarchies mounted below `mounts` (/sys/fs/cgroup): v2 `cpu.max`, v1
// `cpu.cfs_quota_us`. Nothing where there is no quota.
std::optional<int> CpuQuota(const std::filesystem::path& membership, const std::filesystem::path& mounts);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_USABLE_PROCESSORS_H_

#include "core/runtime/usable_processors.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

namespace gruserve {
namespace {

constexpr int kMaxMaskBits = 1 << 16;

int AffinityCount() {
  for (int bits = 1024; bits <= kMaxMaskBits; bits *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(bits));
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(bits));
    const int failed = sched_getaffinity(0, bytes, mask);
    const int count = failed == 0 ? CPU_COUNT_S(bytes, mask) : 0;
    const bool too_small = failed != 0 && errno == EINVAL;
    CPU_FREE(mask);
    if (!too_small) return std::max(count, 1);
  }
  return 1;
}

std::optional<int> RoundUp(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<int>(std::clamp<int64_t>((quota - 1) / period + 1, 1, kMaxMaskBits));
}

// `cpu.max` holds "QUOTA PERIOD" or "max PERIOD".
std::optional<int> QuotaV2(const std::filesystem::path& folder) {
  std::ifstream file(folder / "cpu.max");
  int64_t quota = 0;
  int64_t period = 0;
  if (!(file >> quota >> period)) return std::nullopt;
  return RoundUp(quota, period);
}

// A quota of -1 is none.
std::optional<int> QuotaV1(const std::filesystem::path& folder) {
  std::ifstream quota_file(folder / "cpu.cfs_quota_us");
  std::ifstream period_file(folder / "cpu.cfs_period_us");
  int64_t quota = 0;
  int64_t period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return std::nullopt;
  return RoundUp(quota, period);
}

std::optional<int> Lower(std::optional<int> a, std::optional<int> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// Whether the comma-separated `list` names the `cpu` controller.
bool NamesCpu(std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == "cpu") return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// The lowest quota from `cgroup` up to the hierarchy's root. In a container the
// path may be the host's and not exist here: then the root's counts.
template <typename ReadQuota>
std::optional<int> LowestUpwards(const std::filesystem::path& mount, std::filesystem::path cgroup,
                                 ReadQuota read_quota) {
  std::optional<int> lowest = read_quota(mount);
  for (cgroup = cgroup.relative_path(); !cgroup.empty(); cgroup = cgroup.parent_path()) {
    lowest = Lower(lowest, read_quota(mount / cgroup));
  }
  return lowest;
}

}  // namespace

std::optional<int> CpuQuota(const std::filesystem::path& membership, const std::filesystem::path& mounts) {
  std::ifstream file(membership);
  std::optional<int> lowest;
  for (std::string line; std::getline(file, line);) {  // "HIERARCHY:CONTROLLERS:PATH"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      lowest = Lower(lowest, LowestUpwards(mounts, path, QuotaV2));
    } else if (NamesCpu(controllers)) {
      lowest = Lower(lowest, LowestUpwards(mounts / controllers, path, QuotaV1));
      lowest = Lower(lowest, LowestUpwards(mounts / "cpu", path, QuotaV1));
    }
  }
  return lowest;
}

int UsableProcessors() {
  return Lower(AffinityCount(), CpuQuota("/proc/self/cgroup", "/sys/fs/cgroup")).value_or(1);
}

}  // namespace gruserve

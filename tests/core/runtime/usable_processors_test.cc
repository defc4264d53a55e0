#include "core/runtime/usable_processors.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/scratch_folder.h"

namespace gruserve {
namespace {

class CpuQuotaTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<int> Quota() { return CpuQuota(root_ / "membership", root_ / "mounts"); }

  const ScratchFolder root_;
};

TEST_F(CpuQuotaTest, NoFilesMeanNoQuota) { EXPECT_EQ(Quota(), std::nullopt); }

TEST_F(CpuQuotaTest, Version2RoundsUp) {
  Write("membership", "0::/pod/box\n");
  Write("mounts/pod/box/cpu.max", "150000 100000\n");
  EXPECT_EQ(Quota(), 2);
}

TEST_F(CpuQuotaTest, Version2MaxIsNoQuota) {
  Write("membership", "0::/pod\n");
  Write("mounts/pod/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota(), std::nullopt);
}

TEST_F(CpuQuotaTest, AnAncestorsLowerQuotaCounts) {
  Write("membership", "0::/pod/box\n");
  Write("mounts/pod/box/cpu.max", "800000 100000\n");
  Write("mounts/pod/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota(), 3);
}

TEST_F(CpuQuotaTest, APathThatIsNotMountedHereFallsBackToTheRoot) {
  Write("membership", "0::/kubepods/pod1/abc\n");
  Write("mounts/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), 2);
}

TEST_F(CpuQuotaTest, Version1InAJoinedHierarchy) {
  Write("membership", "5:memory:/box\n4:cpu,cpuacct:/box\n");
  Write("mounts/cpu,cpuacct/box/cpu.cfs_quota_us", "250000\n");
  Write("mounts/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), 3);
}

TEST_F(CpuQuotaTest, Version1MinusOneIsNoQuota) {
  Write("membership", "4:cpu:/box\n");
  Write("mounts/cpu/box/cpu.cfs_quota_us", "-1\n");
  Write("mounts/cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), std::nullopt);
}

TEST_F(CpuQuotaTest, OtherControllersAndBrokenLinesAreIgnored) {
  Write("membership", "nonsense\n1:cpuset:/box\n");
  Write("mounts/cpuset/box/cpu.cfs_quota_us", "100000\n");
  Write("mounts/cpuset/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), std::nullopt);
}

TEST(UsableProcessorsTest, IsAtLeastOne) { EXPECT_GE(UsableProcessors(), 1); }

}  // namespace
}  // namespace gruserve

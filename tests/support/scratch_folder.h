// A folder of a test's own, gone with it: tests of one suite may run side by side.

#ifndef GRUSERVE_TESTS_SUPPORT_SCRATCH_FOLDER_H_
#define GRUSERVE_TESTS_SUPPORT_SCRATCH_FOLDER_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace gruserve {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::path(::testing::TempDir()) / "gruserve-XXXXXX").string();
    const char* const made = mkdtemp(name.data());
    EXPECT_NE(made, nullptr) << "cannot make " << name;
    if (made != nullptr) path_ = made;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_SCRATCH_FOLDER_H_

#include "core/network/import/onnx/model_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

absl::Status Refused(const std::string& what, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(what, " ", why));
}

absl::StatusOr<int> OpenBeneath(int folder, const std::string& what, const std::string& file) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const auto descriptor = static_cast<int>(syscall(SYS_openat2, folder, file.c_str(), &how, sizeof(how)));
  if (descriptor >= 0) return descriptor;
  const int error = errno;
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat(what, " does not exist"));
  if (error == EXDEV) return Refused(what, "leads out of the model's folder");
  if (error == ELOOP) return Refused(what, "is or goes through a symbolic link, expected a regular file");
  return Refused(what, absl::StrCat("cannot be opened: ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::string> ModelFolder::Read(const std::string& what, const std::string& file,
                                              uint64_t offset, std::optional<uint64_t> length) const {
  // A name that ends early, at a zero byte, is not the name that was checked.
  if (file.find('\0') != std::string::npos) return Refused(what, "has a zero byte in its name");
  const int folder = open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return Refused(what, absl::StrCat("cannot be opened: ", std::strerror(errno)));
  const absl::Cleanup close_folder = [folder] { close(folder); };
  GRUSERVE_ASSIGN_OR_RETURN(const int descriptor, OpenBeneath(folder, what, file));
  const absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };
  struct stat about = {};
  if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode)) return Refused(what, "is no regular file");
  if (about.st_nlink > 1) return Refused(what, "has another name (a hard link), expected one");
  const auto size = static_cast<uint64_t>(about.st_size);
  if (offset > size || length.value_or(0) > size - offset) {
    return absl::InvalidArgumentError(absl::StrCat(what, " has ", size, " bytes, ", length.value_or(0),
                                                   " from byte ", offset, " on are wanted"));
  }
  std::string bytes(length.value_or(size - offset), '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got =
        pread(descriptor, bytes.data() + have, bytes.size() - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Refused(what, got == 0 ? "became shorter" : std::strerror(errno));
    have += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace gruserve

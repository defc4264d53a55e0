#include "server/port_file.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace gruserve::server {
namespace {

absl::Status Refused(const std::string& path, const std::string& why) {
  return absl::InternalError(absl::StrCat("port file ", path, ": ", why));
}

}  // namespace

absl::Status RemovePortFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::remove(path, error);
  return error ? Refused(path, error.message()) : absl::OkStatus();
}

absl::Status WritePortFile(const std::string& path, const std::string& address) {
  if (path.empty()) return absl::OkStatus();
  const std::string draft = path + ".new";
  std::ofstream file(draft, std::ios::trunc);
  file << address << "\n";
  file.close();
  if (!file) return Refused(path, "cannot be written");
  std::error_code error;
  std::filesystem::rename(draft, path, error);
  return error ? Refused(path, error.message()) : absl::OkStatus();
}

}  // namespace gruserve::server

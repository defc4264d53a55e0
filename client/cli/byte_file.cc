#include "client/cli/byte_file.h"

#include <cerrno>
#include <fstream>
#include <istream>
#include <iterator>
#include <ostream>
#include <sstream>
#include <system_error>

#include "client/cli/command.h"

namespace gruserve::client {
namespace {

absl::Status Cannot(const char* what, const std::string& path) {
  return UsageError(std::string("cannot ") + what + " " + path + ": " +
                    std::generic_category().message(errno));
}

}  // namespace

absl::StatusOr<std::string> ReadBytes(const std::string& path, const CliIo& io) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(*io.in), {});
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  // A folder opens, but does not read.
  const bool read =
      file && (file.peek() == std::ifstream::traits_type::eof() || bytes << file.rdbuf()) && !file.bad();
  return read ? absl::StatusOr<std::string>(bytes.str()) : Cannot("read", path);
}

absl::Status WriteBytes(const std::string& path, const std::string& bytes, const CliIo& io) {
  if (path == "-") {
    io.out->write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return absl::OkStatus();
  }
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  return file ? absl::OkStatus() : Cannot("write", path);
}

}  // namespace gruserve::client

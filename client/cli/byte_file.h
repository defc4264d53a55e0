// Bytes in files, or on stdin and stdout (`-`).

#ifndef GRUSERVE_CLIENT_CLI_BYTE_FILE_H_
#define GRUSERVE_CLIENT_CLI_BYTE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/cli.h"

namespace gruserve::client {

// Errors are usage errors that name the file.
absl::StatusOr<std::string> ReadBytes(const std::string& path, const CliIo& io);
absl::Status WriteBytes(const std::string& path, const std::string& bytes, const CliIo& io);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_BYTE_FILE_H_

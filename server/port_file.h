// A file that tells scripts where a server listens. It appears complete, by
// rename, and never holds an address of an earlier run.

#ifndef GRUSERVE_SERVER_PORT_FILE_H_
#define GRUSERVE_SERVER_PORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace gruserve::server {

// Both do nothing where `path` is empty. Internal where the file system refuses.
absl::Status RemovePortFile(const std::string& path);
absl::Status WritePortFile(const std::string& path, const std::string& address);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_PORT_FILE_H_

// ServerOptions from a command line, the environment and a YAML file.

#ifndef GRUSERVE_SERVER_COMMAND_LINE_H_
#define GRUSERVE_SERVER_COMMAND_LINE_H_

#include <optional>
#include <string>

#include "server/server_options.h"

namespace gruserve::server {

// What a command line asks for: to serve, or to print something and exit.
struct CommandLine {
  ServerOptions options;
  // Set where the program is to exit at once: 0 after --help, --version or
  // --print-config, 2 after a mistake.
  std::optional<int> exit_code;
  // To stdout where `exit_code` is 0, to stderr otherwise.
  std::string text;
};

CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_COMMAND_LINE_H_

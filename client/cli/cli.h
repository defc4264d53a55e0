// The command line client: everything behind `gruserve ARGS`.

#ifndef GRUSERVE_CLIENT_CLI_CLI_H_
#define GRUSERVE_CLIENT_CLI_CLI_H_

#include <iosfwd>
#include <string>
#include <vector>

namespace gruserve::client {

// Where a command reads and writes. The streams outlive the run.
struct CliIo {
  std::istream* in;
  std::ostream* out;
  std::ostream* err;
  bool err_is_terminal = false;  // Then long work shows its progress.
};

// Runs one command line, without the program's name. Answers the exit code: 0,
// 1 where the call failed, 2 for usage or an unreadable file; a failure says why
// in one line on `err`.
int RunCli(const std::vector<std::string>& args, const CliIo& io);

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLI_CLI_H_

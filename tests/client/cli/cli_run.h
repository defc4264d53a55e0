// Runs a command line as the program does, on strings. For one thread.

#ifndef GRUSERVE_TESTS_CLIENT_CLI_CLI_RUN_H_
#define GRUSERVE_TESTS_CLIENT_CLI_CLI_RUN_H_

#include <sstream>
#include <string>
#include <vector>

#include "client/cli/cli.h"

namespace gruserve::client {

struct CliRun {
  int code = 0;
  std::string out;
  std::string err;
};

inline CliRun RunOn(const std::string& input, const std::vector<std::string>& args) {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const int code = RunCli(args, {&in, &out, &err});
  return {code, out.str(), err.str()};
}

}  // namespace gruserve::client

#endif  // GRUSERVE_TESTS_CLIENT_CLI_CLI_RUN_H_

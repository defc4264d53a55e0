#include <cstdio>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/log.h"
#include "server/command_line.h"
#include "server/polling_threads.h"
#include "server/server.h"
#include "server/shutdown_signal.h"

namespace {

// 2 for what the one who starts it got wrong, 1 for the rest.
int ExitCode(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const gruserve::server::CommandLine line = gruserve::server::ParseCommandLine(argc, argv);
  if (line.exit_code) {
    std::fputs(line.text.c_str(), *line.exit_code == 0 ? stdout : stderr);
    return *line.exit_code;
  }
  // Where libabsl has its checks, each Lock would take one lock shared by all.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const gruserve::server::ShutdownSignal signal;
  gruserve::server::ConfigureLogOf(line.options);
  const gruserve::server::PollingThreads polling(line.options.polling_threads);
  const auto server = gruserve::server::Server::Start(line.options);
  if (!server.ok()) {
    gruserve::Log(gruserve::LogLevel::kError, "start failed",
                  {{"reason", std::string(server.status().message())}});
    return ExitCode(server.status());
  }
  gruserve::Log(gruserve::LogLevel::kInfo, "shutting down", {{"signal", signal.Wait()}});
  (*server)->Drain();
  return 0;
}

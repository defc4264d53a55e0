// Sessions that never rest, for tests/chaos/chaos.py, which breaks their servers.
//
// Commands on standard input, one a line; each is answered by one line of JSON:
//   wait STEPS SESSIONS SECONDS   until all have done so many more steps and so many
//                                 of them wait for an answer; then how far they are
//   cut BYTES                     cuts each connection once so many more bytes came
//   stop                          ends all, one line each, and the program

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "tests/chaos/chaos_session.h"
#include "tests/support/tcp_proxy.h"

namespace gruserve::chaos {
namespace {

struct LoadOptions {
  std::vector<int> ports;
  std::string model;
  ModelShape shape;
  uint64_t seed = 1;
  int64_t sessions = 200;
  uint32_t window = 4;
};

class Load {
 public:
  explicit Load(const LoadOptions& options) {
    std::vector<client::Client> clients;
    for (const int port : options.ports) {
      proxies_.push_back(std::make_unique<TcpProxy>(port));
      clients.push_back(client::Client::Connect(proxies_.back()->address()).value());
    }
    for (int64_t i = 0; i < options.sessions; ++i) {
      SessionPlan plan{options.seed, i, options.shape, {}, {}};
      plan.open.model = options.model;
      plan.open.durability = i % 2 == 0 ? client::Durability::kAsync : client::Durability::kSync;
      plan.resilience.window = options.window;
      plan.open.remember_steps = 4 * options.window;  // Chunks count as their steps.
      plan.open.keep_states = kKeptStates;
      plan.resilience.answer_timeout = absl::Seconds(2);
      sessions_.push_back(
          std::make_unique<ChaosSession>(std::move(plan), clients, [this] { changed_.SignalAll(); }));
    }
  }

  nlohmann::json Wait(int64_t steps, int64_t waiting, double seconds) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::Time end = absl::Now() + absl::Seconds(seconds);
    const int64_t target = Report()["steps"].get<int64_t>() + steps;
    const absl::MutexLock lock(&mu_);
    nlohmann::json report = Report();
    while (report["failed"] == 0 && (report["steps"] < target || report["waiting"] < waiting)) {
      if (absl::Now() > end) {
        report["late"] = true;
        return report;
      }
      changed_.WaitWithTimeout(&mu_, absl::Milliseconds(20));
      report = Report();
    }
    return report;
  }

  void Cut(int64_t bytes) {
    for (const auto& proxy : proxies_) proxy->CutAfter(bytes);
  }

  void Stop() {
    for (const auto& session : sessions_) session->Stop();
    for (const auto& session : sessions_) {
      const SessionOutcome& outcome = session->Join();
      const nlohmann::json line = {{"session", session->number()},
                                   {"operations", outcome.operations},
                                   {"outputs", outcome.outputs},
                                   {"state", outcome.state},
                                   {"error", outcome.error}};
      std::cout << line.dump() << "\n";
    }
    std::cout.flush();
  }

 private:
  nlohmann::json Report() const {
    int64_t failed = 0, steps = 0, waiting = 0, breaks = 0, replayed = 0, sent_again = 0, pause = 0;
    std::string error;
    std::vector<int64_t> held(proxies_.size());
    for (const auto& session : sessions_) {
      const SessionProgress& progress = session->progress();
      if (progress.failed && failed++ == 0)
        error = "session " + std::to_string(session->number()) + ", " + session->error();
      steps += progress.steps;
      waiting += progress.waits ? 1 : 0;
      breaks += progress.breaks;
      replayed += progress.replayed;
      sent_again += progress.sent_again;
      ++held[progress.replica];
      pause = std::max<int64_t>(pause, progress.longest_pause_us);
    }
    return {{"steps", steps},       {"waiting", waiting},       {"breaks", breaks},
            {"replayed", replayed}, {"sent_again", sent_again}, {"longest_pause_us", pause},
            {"held", held},         {"failed", failed},         {"error", error}};
  }

  std::vector<std::unique_ptr<TcpProxy>> proxies_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<std::unique_ptr<ChaosSession>> sessions_;  // Last: they use all of the above.
};

void Obey(Load& load) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "wait") {
      int64_t steps = 0, waiting = 0;
      double seconds = 0;
      words >> steps >> waiting >> seconds;
      std::cout << load.Wait(steps, waiting, seconds).dump() << std::endl;
    } else if (command == "cut") {
      int64_t bytes = 0;
      words >> bytes;
      load.Cut(bytes);
      std::cout << "{}" << std::endl;
    } else {
      load.Stop();
      return;
    }
  }
}

int Main(int argc, const char* const* argv) {
  LoadOptions options;
  CLI::App app("Sessions that never rest, through proxies; see the head of load_main.cc.", "chaos-load");
  app.add_option("--port", options.ports, "Of each replica.")->required();
  app.add_option("--model", options.model)->required();
  app.add_option("--input-size", options.shape.input_size)->required();
  app.add_option("--layers", options.shape.layers)->required();
  app.add_option("--hidden-size", options.shape.hidden_size)->required();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--sessions", options.sessions)->capture_default_str();
  app.add_option("--window", options.window, "Operations of a session that are under way.")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Load load(options);
  Obey(load);
  return 0;
}

}  // namespace
}  // namespace gruserve::chaos

int main(int argc, char** argv) { return gruserve::chaos::Main(argc, argv); }

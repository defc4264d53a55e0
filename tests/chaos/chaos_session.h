// One session that steps without a pause, on a thread of its own, through whatever
// happens to its servers; it checks what can be checked at once, and hashes the rest.

#ifndef GRUSERVE_TESTS_CHAOS_CHAOS_SESSION_H_
#define GRUSERVE_TESTS_CHAOS_CHAOS_SESSION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "client/resilient_session.h"
#include "tests/chaos/script.h"

namespace gruserve::chaos {

struct SessionPlan {
  uint64_t seed = 0;
  int64_t number = 0;
  ModelShape shape;
  client::OpenOptions open;
  client::ResilientOptions resilience;
};

// How far it has come.
struct SessionProgress {
  std::atomic<int64_t> steps = 0;
  std::atomic<int64_t> breaks = 0;
  std::atomic<int64_t> replayed = 0;
  std::atomic<int64_t> sent_again = 0;
  std::atomic<int64_t> longest_pause_us = 0;
  std::atomic<bool> waits = false;  // For an answer.
  std::atomic<size_t> replica = 0;
  std::atomic<bool> failed = false;
};

// What it saw. For the thread that has joined it.
struct SessionOutcome {
  std::string error;  // Empty: none.
  int64_t operations = 0;
  uint64_t outputs = 0;  // The chain of all.
  uint64_t state = 0;    // Of the state at the end.
};

class ChaosSession {
 public:
  // `on_step` is called after each answer; it must be short.
  ChaosSession(SessionPlan plan, std::vector<client::Client> replicas, std::function<void()> on_step);
  // As Stop.
  ~ChaosSession();

  // Ends it after what is under way.
  void Stop() { stop_ = true; }
  const SessionOutcome& Join();
  // REQUIRES: progress().failed.
  const std::string& error() const { return outcome_.error; }

  const SessionProgress& progress() const { return progress_; }
  int64_t number() const { return plan_.number; }

 private:
  void Run();
  absl::Status Converse(client::ResilientSession& session);
  absl::Status TakeAnswer(client::ResilientSession& session);
  // The hidden state that the server holds at the end.
  absl::Status ReadState(const std::string& id);
  void Send(client::ResilientSession& session);

  const SessionPlan plan_;
  const std::vector<client::Client> replicas_;
  const std::function<void()> on_step_;
  std::atomic<bool> stop_ = false;
  SessionProgress progress_;
  // The thread's.
  SessionOutcome outcome_;
  int64_t sent_ = 0;
  std::deque<int64_t> ends_ = {0};  // Where the last operations that were sent end in the log.
  int64_t next_index_ = 1;
  int64_t durable_step_ = 0;
  int64_t breaks_ = 0;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace gruserve::chaos

#endif  // GRUSERVE_TESTS_CHAOS_CHAOS_SESSION_H_

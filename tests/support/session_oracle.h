// The session protocol once more, as plainly as it can be said: no threads, no
// queues of the real thing, states by value. Random tests compare with it.
//
// Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_SESSION_ORACLE_H_
#define GRUSERVE_TESTS_SUPPORT_SESSION_ORACLE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/session/session_op.h"
#include "tests/support/loaded_models.h"

namespace gruserve {

// One session. The owner of the test says who holds it and when time passes.
class SessionOracle {
 public:
  // What an operation must be answered with.
  struct Answer {
    absl::StatusCode code = absl::StatusCode::kOk;
    SessionErrorReason reason = SessionErrorReason::kNone;
    int64_t index = 0;
    int64_t expected_step = 0;
    std::vector<float> output = {};
    std::vector<float> state = {};
    bool replayed = false;
  };
  // By the operation's tag.
  using Answers = std::map<uint64_t, Answer>;

  SessionOracle(const LoadedRandomModel* model, int64_t rows, std::vector<float> h_0, int64_t max_inflight,
                int64_t remember_steps, Answers* answers)
      : model_(model),
        rows_(rows),
        max_inflight_(max_inflight),
        remember_steps_(remember_steps),
        answers_(answers),
        state_(std::move(h_0)) {
    state_.resize(static_cast<size_t>(rows * model->config().state_size()));
  }

  // `foreign`: from a sink that does not hold it.
  void Submit(const SessionOp& op, bool foreign, absl::Time now);
  // The executor has run all there is; `fail_first` says whether it was told to
  // fail its first task. Answers whether a task was there to fail.
  bool RunAll(bool fail_first, absl::Time now);
  // Another holder: what is queued and has not begun is fenced. `same_client`: it is
  // that of the one before.
  void Fence(absl::Time now, bool same_client);

  bool ended() const { return ended_; }
  bool closing() const { return closing_; }
  bool busy() const { return running_.has_value() || !queue_.empty(); }
  int64_t next() const { return next_; }
  absl::Time last_done() const { return last_done_; }
  void Evict() {
    ended_ = true;
    evicted_ = true;
  }
  void set_last_done(absl::Time at) { last_done_ = at; }

 private:
  struct Waiting {
    SessionOp op;
    bool fenced = false;
    bool counts = false;
    int64_t places = 0;
  };
  // One place of the log that was applied.
  struct Applied {
    SessionOpKind kind = SessionOpKind::kStep;
    std::vector<float> output;
    std::vector<float> state;
  };

  // What never enters the queue is answered at once.
  std::optional<Answer> RefusalAtOnce(const SessionOp& op, bool foreign);
  void Pump(absl::Time now);
  // Judges by the rules of the log. Nothing: it may run.
  std::optional<Answer> Refusal(const Waiting& waiting);
  // The answer to an operation that was applied before.
  Answer Again(const SessionOp& op);
  void Finish(const Waiting& waiting, Answer answer, bool ran, absl::Time now);
  Answer RunStep(const SessionOp& op);

  const LoadedRandomModel* model_;
  int64_t rows_;
  int64_t max_inflight_;
  int64_t remember_steps_;
  Answers* answers_;
  std::vector<float> state_;
  int64_t next_ = 1;
  std::vector<Applied> log_;  // All of it.
  bool barrier_ = false;
  bool refusing_ = false;  // Un-indexed steps, since one had no credit.
  bool closing_ = false;
  SessionErrorReason fenced_ = SessionErrorReason::kFenced;  // Says whoever lost it.
  bool ended_ = false;
  bool evicted_ = false;
  int64_t in_flight_ = 0;
  int64_t places_ahead_ = 0;
  absl::Time last_done_;
  std::deque<Waiting> queue_;
  std::optional<Waiting> running_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_SESSION_ORACLE_H_

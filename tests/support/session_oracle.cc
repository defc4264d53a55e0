#include "tests/support/session_oracle.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace gruserve {

namespace {

int64_t Places(const SessionOp& op) {
  if (op.kind == SessionOpKind::kStep) return op.time_steps;
  return op.kind == SessionOpKind::kSetState ? 1 : 0;
}

}  // namespace

void SessionOracle::Submit(const SessionOp& op, bool foreign, absl::Time now) {
  const bool first_close = op.kind == SessionOpKind::kClose && !closing_;
  if (auto refusal = RefusalAtOnce(op, foreign)) {
    refusal->index = op.index;
    refusal->expected_step = next_ + places_ahead_;
    (*answers_)[op.tag] = *std::move(refusal);
    return;
  }
  const bool is_new = op.index == 0 || op.index >= next_ + places_ahead_;
  queue_.push_back({.op = op, .counts = !first_close, .places = is_new ? Places(op) : 0});
  if (!first_close) ++in_flight_;
  places_ahead_ += queue_.back().places;
  Pump(now);
}

std::optional<SessionOracle::Answer> SessionOracle::RefusalAtOnce(const SessionOp& op, bool foreign) {
  if (foreign && !ended_) {
    return Answer{.code = absl::StatusCode::kAborted, .reason = fenced_};
  }
  if (op.kind == SessionOpKind::kClose && !closing_) {
    closing_ = true;
    return std::nullopt;
  }
  if (in_flight_ >= max_inflight_) {
    refusing_ = true;
    return Answer{.code = absl::StatusCode::kResourceExhausted, .reason = SessionErrorReason::kCredits};
  }
  if (refusing_ && op.kind == SessionOpKind::kStep && op.index == 0) {
    return Answer{.code = absl::StatusCode::kFailedPrecondition, .reason = SessionErrorReason::kBarrier};
  }
  if (op.index == 0 || op.index >= next_ + places_ahead_) refusing_ = false;
  return std::nullopt;
}

void SessionOracle::Fence(absl::Time now, bool same_client) {
  fenced_ = same_client ? SessionErrorReason::kMoved : SessionErrorReason::kFenced;
  for (Waiting& waiting : queue_) waiting.fenced = true;
  last_done_ = now;
}

bool SessionOracle::RunAll(bool fail_first, absl::Time now) {
  bool failed = false;
  while (running_.has_value()) {
    const Waiting waiting = *std::exchange(running_, std::nullopt);
    if (fail_first && !failed) {
      failed = true;
      Finish(waiting, {.code = absl::StatusCode::kInternal, .index = next_}, false, now);
    } else {
      Finish(waiting, RunStep(waiting.op), true, now);
    }
    Pump(now);
  }
  return failed;
}

void SessionOracle::Pump(absl::Time now) {
  while (!running_.has_value() && !queue_.empty()) {
    const Waiting waiting = queue_.front();
    queue_.pop_front();
    if (auto refusal = Refusal(waiting)) {
      Finish(waiting, *std::move(refusal), false, now);
      continue;
    }
    barrier_ = false;
    if (waiting.op.kind == SessionOpKind::kStep) {
      running_ = waiting;
    } else if (waiting.op.kind == SessionOpKind::kClose) {
      ended_ = true;
      Finish(waiting, {}, true, now);
    } else {
      state_.assign(state_.size(), 0.0f);
      if (!waiting.op.values.empty()) state_ = waiting.op.values;
      Finish(waiting, {.index = next_, .state = waiting.op.return_state ? state_ : std::vector<float>()},
             true, now);
    }
  }
}

std::optional<SessionOracle::Answer> SessionOracle::Refusal(const Waiting& waiting) {
  using Code = absl::StatusCode;
  using Reason = SessionErrorReason;
  const SessionOp& op = waiting.op;
  if (ended_)
    return Answer{.code = Code::kNotFound, .reason = evicted_ ? Reason::kEvictedIdle : Reason::kNone};
  if (waiting.fenced) return Answer{.code = Code::kAborted, .reason = fenced_};
  if (op.kind == SessionOpKind::kClose) return std::nullopt;
  if (op.kind == SessionOpKind::kStep && op.index == 0 && barrier_) {
    return Answer{.code = Code::kFailedPrecondition, .reason = Reason::kBarrier};
  }
  const bool was_up = std::exchange(barrier_, true);
  if (!op.refused.ok()) return Answer{.code = op.refused.code(), .index = op.index};
  const int64_t places = Places(op);
  if (op.index != 0 && op.index != next_) {
    const bool applied = op.index + places <= next_;
    if (applied && remember_steps_ > 0) {
      Answer again = Again(op);
      barrier_ = was_up || again.code != Code::kOk;
      return again;
    }
    return Answer{.code = applied ? Code::kOutOfRange : Code::kFailedPrecondition,
                  .reason = Reason::kIndex,
                  .index = op.index};
  }
  barrier_ = was_up;
  return std::nullopt;
}

void SessionOracle::Finish(const Waiting& waiting, Answer answer, bool ran, absl::Time now) {
  places_ahead_ -= waiting.places;
  if (ran) {
    const int64_t places = Places(waiting.op);
    for (int64_t i = 0; i < places; ++i) {
      const auto width = static_cast<std::ptrdiff_t>(answer.output.size()) / places;
      const auto begin = answer.output.begin() + i * width;
      log_.push_back(
          {waiting.op.kind, {begin, begin + width}, i == places - 1 ? answer.state : std::vector<float>()});
    }
    next_ += places;
  }
  if (answer.code == absl::StatusCode::kInternal) barrier_ = true;
  if (waiting.counts) --in_flight_;
  last_done_ = now;
  answer.expected_step = next_;
  (*answers_)[waiting.op.tag] = std::move(answer);
}

SessionOracle::Answer SessionOracle::Again(const SessionOp& op) {
  Answer answer{.reason = SessionErrorReason::kIndex, .index = op.index};
  if (op.index < next_ - std::min(remember_steps_, next_ - 1)) {
    answer.code = absl::StatusCode::kOutOfRange;
    return answer;
  }
  std::vector<float> output;
  for (int64_t i = op.index; i < op.index + Places(op); ++i) {
    const Applied& applied = log_[static_cast<size_t>(i - 1)];
    if (applied.kind != op.kind) answer.code = absl::StatusCode::kFailedPrecondition;
    output.insert(output.end(), applied.output.begin(), applied.output.end());
  }
  const std::vector<float>& state = log_[static_cast<size_t>(op.index + Places(op) - 2)].state;
  if (answer.code == absl::StatusCode::kOk && op.return_state && state.empty())
    answer.code = absl::StatusCode::kOutOfRange;
  if (answer.code != absl::StatusCode::kOk) return answer;
  answer.reason = SessionErrorReason::kNone;
  answer.output = std::move(output);
  if (op.return_state) answer.state = state;
  answer.replayed = true;
  return answer;
}

SessionOracle::Answer SessionOracle::RunStep(const SessionOp& op) {
  Answer answer;
  answer.index = next_;
  answer.output = model_->RunAlone(rows_, op.values, &state_);
  if (op.return_state) answer.state = state_;
  return answer;
}

}  // namespace gruserve

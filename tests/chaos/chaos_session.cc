#include "tests/chaos/chaos_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve::chaos {

ChaosSession::ChaosSession(SessionPlan plan, std::vector<client::Client> replicas,
                           std::function<void()> on_step)
    : plan_(std::move(plan)),
      replicas_(std::move(replicas)),
      on_step_(std::move(on_step)),
      thread_([this] { Run(); }) {}

ChaosSession::~ChaosSession() {
  Stop();
  Join();
}

const SessionOutcome& ChaosSession::Join() {
  if (thread_.joinable()) thread_.join();
  return outcome_;
}

void ChaosSession::Run() {
  absl::StatusOr<std::unique_ptr<client::ResilientSession>> session =
      client::ResilientSession::Open(replicas_, plan_.open, plan_.resilience);
  absl::Status status = session.status();
  if (status.ok()) status = Converse(**session);
  if (!status.ok()) outcome_.error = status.ToString();
  progress_.failed = !status.ok();
  progress_.waits = false;
  on_step_();
}

absl::Status ChaosSession::Converse(client::ResilientSession& session) {
  while (!stop_) {
    while (session.under_way() < plan_.resilience.window) Send(session);
    GRUSERVE_RETURN_IF_ERROR(TakeAnswer(session));
  }
  while (session.under_way() > 0) GRUSERVE_RETURN_IF_ERROR(TakeAnswer(session));
  GRUSERVE_RETURN_IF_ERROR(ReadState(session.info().session_id));
  return session.Close();
}

void ChaosSession::Send(client::ResilientSession& session) {
  Operation operation = OperationOf(plan_.seed, plan_.number, sent_++, plan_.shape);
  if (operation.rewind_back > 0) {
    const auto back = std::min(static_cast<size_t>(operation.rewind_back), ends_.size() - 1);
    session.SendRewind(ends_[ends_.size() - 1 - back]);
  } else if (!operation.set_state) {
    std::vector<int64_t> shape = {plan_.shape.input_size};
    if (operation.time_steps > 1) shape.insert(shape.begin(), operation.time_steps);
    session.Send({shape, std::move(operation.values)});
  } else if (operation.values.empty()) {
    session.SendState({});
  } else {
    session.SendState({{plan_.shape.layers, plan_.shape.hidden_size}, std::move(operation.values)});
  }
  ends_.push_back(ends_.back() + operation.time_steps);
  if (ends_.size() > kKeptStates) ends_.pop_front();
}

absl::Status ChaosSession::TakeAnswer(client::ResilientSession& session) {
  progress_.waits = true;
  absl::StatusOr<client::StepResult> answer = session.Receive();
  progress_.waits = false;
  const Operation operation = OperationOf(plan_.seed, plan_.number, outcome_.operations, plan_.shape);
  if (!answer.ok()) {
    return absl::Status(answer.status().code(),
                        absl::StrCat("operation ", outcome_.operations + 1, " at step ", next_index_, ": ",
                                     answer.status().message()));
  }
  if (answer->index != next_index_) {
    return absl::InternalError(
        absl::StrCat("an answer has index ", answer->index, ", ", next_index_, " is due"));
  }
  const client::ResilientCounters& counters = session.counters();
  if (counters.breaks == breaks_ && answer->durable_step < durable_step_) {
    return absl::InternalError(
        absl::StrCat("durable_step went back from ", durable_step_, " to ", answer->durable_step));
  }
  breaks_ = counters.breaks;
  durable_step_ = answer->durable_step;
  if (durable_step_ > next_index_ + operation.time_steps - 1 + plan_.resilience.window * 4)
    return absl::InternalError(
        absl::StrCat("durable_step ", durable_step_, " is ahead of all that was sent"));
  next_index_ += operation.time_steps;
  ++outcome_.operations;
  outcome_.outputs = Chain(outcome_.outputs, answer->output.values);
  progress_.steps += operation.time_steps;
  progress_.breaks = counters.breaks;
  progress_.replayed = counters.replayed;
  progress_.sent_again = counters.sent_again;
  progress_.replica = session.replica();
  progress_.longest_pause_us = absl::ToInt64Microseconds(counters.longest_pause);
  on_step_();
  return absl::OkStatus();
}

absl::Status ChaosSession::ReadState(const std::string& id) {
  absl::Status status;
  for (const client::Client& replica : replicas_) {
    const absl::StatusOr<client::SessionSnapshot> snapshot = replica.GetSession(id, /*include_state=*/true);
    status = snapshot.status();
    // One that lost it may not have noticed yet.
    if (!status.ok() || snapshot->info.next_step != next_index_) continue;
    outcome_.state = Chain(0, snapshot->state->values);
    return status;
  }
  return status.ok() ? absl::InternalError(absl::StrCat("no server has the session at step ", next_index_))
                     : status;
}

}  // namespace gruserve::chaos

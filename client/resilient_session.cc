#include "client/resilient_session.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <random>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/operation_log.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

constexpr uint32_t kMostWindow = 64;  // What a server remembers.
constexpr int kMostFruitless = 100;

std::string MintId() {
  std::random_device device;
  std::string id = "c-";
  for (int word = 0; word < 4; ++word) absl::StrAppend(&id, absl::StrFormat("%08x", device()));
  return id;
}

// Whether another replica, or the same one later, may do better.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:  // A torn connection can look so.
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

StepResult ResultOf(const StateResult& state) {
  StepResult result;
  result.index = state.index;
  result.durable_step = state.durable_step;
  result.replayed = state.replayed;
  return result;
}

// Answers as they come from threads of gRPC's.
class Inbox {
 public:
  struct Arrival {
    uint64_t sending = 0;
    int64_t index = 0;
    absl::StatusOr<StepResult> answer;
  };

  void Put(Arrival arrival) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    arrivals_.push_back(std::make_unique<const Arrival>(std::move(arrival)));
    arrived_.Signal();
  }
  // Null where none comes until `deadline`.
  std::unique_ptr<const Arrival> Take(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    while (arrivals_.empty()) {
      if (arrived_.WaitWithDeadline(&mu_, deadline) && arrivals_.empty()) return nullptr;
    }
    std::unique_ptr<const Arrival> arrival = std::move(arrivals_.front());
    arrivals_.pop_front();
    return arrival;
  }
  // Lets time pass; answers stay.
  void Wait(absl::Duration time) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::Time end = absl::Now() + time;
    const absl::MutexLock lock(&mu_);
    while (!arrived_.WaitWithDeadline(&mu_, end)) {
    }
  }

 private:
  absl::Mutex mu_;
  absl::CondVar arrived_;
  std::deque<std::unique_ptr<const Arrival>> arrivals_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

class ResilientSession::Machine {
 public:
  Machine(std::vector<Client> replicas, OpenOptions open, const ResilientOptions& options)
      : replicas_(std::move(replicas)), open_(std::move(open)), options_(options) {}

  absl::Status Open();
  void Send(bool set_state, Tensor values);
  void SendRewind(int64_t step);
  absl::StatusOr<StepResult> Receive();
  absl::Status Close();

  const SessionInfo& info() const { return info_; }
  const ResilientCounters& counters() const { return counters_; }
  size_t replica() const { return turn_; }
  int64_t under_way() const { return log_.has_value() ? log_->outstanding() : 0; }

 private:
  // One try of the replica whose turn it is.
  absl::Status TryOpen(OpenMode mode);
  void PassTurn() { turn_ = (turn_ + 1) % replicas_.size(); }
  // Tries until one replica has the session, or it makes no sense any more.
  absl::Status OpenSomewhere(OpenMode first, OpenMode later);
  // What to do after a fault: resumes, and sends again.
  absl::Status Recover();
  void Transmit(LoggedOperation& operation);
  // Sends again what is at `index` and behind.
  void TransmitFrom(int64_t index);
  absl::Status OnArrival(const Inbox::Arrival& arrival);
  absl::Status OnError(int64_t index, const absl::Status& status);

  const std::vector<Client> replicas_;
  OpenOptions open_;
  const ResilientOptions options_;
  size_t turn_ = 0;  // Whose replica's it is.
  SessionInfo info_;
  ResilientCounters counters_;
  std::optional<OperationLog> log_;
  uint64_t last_sending_ = 0;
  int fruitless_ = 0;  // Recoveries since the last answer.
  absl::Status final_;
  std::minstd_rand jitter_{std::random_device{}()};
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<StepStream> stream_;
  std::optional<StreamSession> session_;
};

absl::Status ResilientSession::Machine::Open() {
  // Where the answer to a try is lost, the session is there all the same.
  const OpenMode later = open_.mode == OpenMode::kCreate ? OpenMode::kCreateOrResume : open_.mode;
  GRUSERVE_RETURN_IF_ERROR(OpenSomewhere(open_.mode, later));
  log_.emplace(info_.next_step, info_.input_digest, info_.batch_size);
  return absl::OkStatus();
}

absl::Status ResilientSession::Machine::TryOpen(OpenMode mode) {
  OpenOptions open;
  open.session_id = open_.session_id;
  if (mode != OpenMode::kResume) open = open_;
  open.mode = mode;
  session_.reset();
  stream_ = replicas_[turn_].OpenStream({.call_timeout = options_.answer_timeout});
  GRUSERVE_ASSIGN_OR_RETURN(StreamSession session, stream_->Open(open));
  session_.emplace(std::move(session));
  info_ = session_->info();
  return absl::OkStatus();
}

absl::Status ResilientSession::Machine::OpenSomewhere(OpenMode first, OpenMode later) {
  const absl::Time end = absl::Now() + options_.give_up;
  absl::Duration backoff = options_.least_backoff;
  OpenMode mode = first;
  size_t not_found = 0;  // In a row.
  while (true) {
    absl::Status status = TryOpen(mode);
    if (status.ok()) return status;
    not_found = absl::IsNotFound(status) ? not_found + 1 : 0;
    if (!MayPass(status) && (not_found == 0 || not_found >= replicas_.size())) return status;
    if (absl::Now() >= end) return status;
    if (MayPass(status)) mode = later;
    PassTurn();
    if (turn_ == 0 || replicas_.size() == 1) {
      std::uniform_real_distribution<double> part(0.5, 1.0);
      inbox_->Wait(backoff * part(jitter_));
      backoff = std::min(2 * backoff, options_.most_backoff);
    }
  }
}

absl::Status ResilientSession::Machine::Recover() {
  const absl::Time begin = absl::Now();
  ++counters_.breaks;
  if (++fruitless_ > kMostFruitless) {
    return absl::InternalError(
        absl::StrCat("the session was resumed ", kMostFruitless, " times without an answer"));
  }
  GRUSERVE_RETURN_IF_ERROR(OpenSomewhere(OpenMode::kResume, OpenMode::kResume));
  GRUSERVE_ASSIGN_OR_RETURN(const int64_t from, log_->ResendFrom(info_.next_step, info_.input_digest));
  log_->Forget(info_.durable_step);
  if (!Seeded(Bug::kClientSendsNothingAgain))
    TransmitFrom(Seeded(Bug::kClientSendsAgainTooLate) ? from + 1 : from);
  counters_.longest_pause = std::max(counters_.longest_pause, absl::Now() - begin);
  return absl::OkStatus();
}

void ResilientSession::Machine::Transmit(LoggedOperation& operation) {
  const int64_t index = operation.index;
  const uint64_t sending = operation.sending = ++last_sending_;
  const auto put_state = [inbox = inbox_, sending, index](const absl::StatusOr<StateResult>& state) {
    if (state.ok()) {
      inbox->Put({sending, index, ResultOf(*state)});
    } else {
      inbox->Put({sending, index, state.status()});
    }
  };
  if (operation.rewind_to >= 0) {
    session_->RewindAsync(operation.rewind_to, put_state, index);
  } else if (operation.set_state) {
    session_->SetStateAsync(operation.values, put_state, index);
  } else {
    session_->StepAsync(operation.values,
                        [inbox = inbox_, sending, index](absl::StatusOr<StepResult> answer) {
                          inbox->Put({sending, index, std::move(answer)});
                        },
                        {.index = index});
  }
}

void ResilientSession::Machine::TransmitFrom(int64_t index) {
  for (LoggedOperation& operation : log_->operations()) {
    if (operation.index < index || operation.places == 0) continue;
    ++counters_.sent_again;
    Transmit(operation);
  }
}

void ResilientSession::Machine::Send(bool set_state, Tensor values) {
  log_->Add(set_state, std::move(values));
  if (final_.ok()) Transmit(log_->operations().back());
}

void ResilientSession::Machine::SendRewind(int64_t step) {
  log_->AddRewind(step);
  if (final_.ok()) Transmit(log_->operations().back());
}

absl::StatusOr<StepResult> ResilientSession::Machine::Receive() {
  if (under_way() == 0) return absl::FailedPreconditionError("nothing is under way: Send first");
  absl::Time deadline = absl::Now() + options_.answer_timeout;
  while (true) {
    if (std::optional<absl::StatusOr<StepResult>> answer = log_->TakeAnswer(); answer.has_value()) {
      // What only lives in memory is never asked for again once it is answered.
      const bool durable = info_.durability == Durability::kAsync || info_.durability == Durability::kSync;
      const int64_t early = Seeded(Bug::kClientForgetsTooEarly) ? 64 : 0;
      log_->Forget(durable ? info_.durable_step + early : log_->next_index());
      return *std::move(answer);
    }
    if (!final_.ok()) return final_;
    const std::unique_ptr<const Inbox::Arrival> arrival = inbox_->Take(deadline);
    const bool silent = arrival == nullptr;
    if (silent) PassTurn();
    final_ = silent ? Recover() : OnArrival(*arrival);
    deadline = absl::Now() + options_.answer_timeout;
  }
}

absl::Status ResilientSession::Machine::OnArrival(const Inbox::Arrival& arrival) {
  const LoggedOperation* const operation = log_->Find(arrival.index);
  if (operation == nullptr || operation->sending != arrival.sending) return absl::OkStatus();
  if (!arrival.answer.ok()) return OnError(arrival.index, arrival.answer.status());
  info_.durable_step = std::max(info_.durable_step, arrival.answer->durable_step);
  fruitless_ = 0;
  if (arrival.answer->replayed) ++counters_.replayed;
  log_->Answer(arrival.index, *arrival.answer);
  return absl::OkStatus();
}

absl::Status ResilientSession::Machine::OnError(int64_t index, const absl::Status& status) {
  const std::optional<SessionError> error = SessionErrorOf(status);
  if (!error.has_value()) return MayPass(status) ? Recover() : status;
  if (absl::IsOutOfRange(status)) {
    return absl::DataLossError(absl::StrCat("an answer was lost that the server no longer remembers: ",
                                            std::string(status.message())));
  }
  switch (error->reason) {
    case SessionErrorReason::kFenced:
    case SessionErrorReason::kVersionRetired:  // Another version would go on with other numbers.
      return status;
    case SessionErrorReason::kDraining:
      PassTurn();
      return Recover();
    case SessionErrorReason::kMoved:  // An earlier try of ours came through late.
    case SessionErrorReason::kEvictedIdle:
    case SessionErrorReason::kIndex:
    case SessionErrorReason::kBarrier:
      return Recover();
    default:
      break;
  }
  if (error->detached || absl::IsUnavailable(status)) return Recover();
  if (absl::IsResourceExhausted(status) && error->retry_after > absl::ZeroDuration()) {
    info_.durable_step = std::max(info_.durable_step, error->durable_step);
    inbox_->Wait(error->retry_after);
    TransmitFrom(index);
    return absl::OkStatus();
  }
  log_->Refuse(index, status);
  TransmitFrom(index);
  return absl::OkStatus();
}

absl::Status ResilientSession::Machine::Close() {
  while (under_way() > 0 && final_.ok()) static_cast<void>(Receive());
  GRUSERVE_RETURN_IF_ERROR(final_);
  for (bool again = false;; again = true) {
    absl::Status status = session_->Close().status();
    if (status.ok() || (again && absl::IsNotFound(status))) return absl::OkStatus();
    if (!MayPass(status)) return status;
    const absl::Status recovered = Recover();
    if (absl::IsNotFound(recovered)) return absl::OkStatus();  // It was closed, and the answer was lost.
    GRUSERVE_RETURN_IF_ERROR(recovered);
  }
}

ResilientSession::ResilientSession(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}

ResilientSession::~ResilientSession() = default;

absl::StatusOr<std::unique_ptr<ResilientSession>> ResilientSession::Open(std::vector<Client> replicas,
                                                                         OpenOptions open,
                                                                         ResilientOptions options) {
  if (replicas.empty()) return absl::InvalidArgumentError("replicas is empty, at least one client is wanted");
  if (options.window < 1 || options.window > kMostWindow) {
    return absl::InvalidArgumentError(
        absl::StrCat("window is ", options.window, ", 1 to ", kMostWindow, " operations are wanted"));
  }
  if (open.close_with_stream) {
    return absl::InvalidArgumentError(
        "close_with_stream is set, a session that outlives its streams is wanted");
  }
  if (open.session_id.empty()) open.session_id = MintId();
  if (open.mode != OpenMode::kResume) open.remember_steps = std::max(open.remember_steps, options.window);
  auto machine = std::make_unique<Machine>(std::move(replicas), std::move(open), options);
  GRUSERVE_RETURN_IF_ERROR(machine->Open());
  return std::unique_ptr<ResilientSession>(new ResilientSession(std::move(machine)));
}

const SessionInfo& ResilientSession::info() const { return machine_->info(); }
const ResilientCounters& ResilientSession::counters() const { return machine_->counters(); }
size_t ResilientSession::replica() const { return machine_->replica(); }
int64_t ResilientSession::under_way() const { return machine_->under_way(); }

void ResilientSession::Send(Tensor input) { machine_->Send(/*set_state=*/false, std::move(input)); }
void ResilientSession::SendState(Tensor state) { machine_->Send(/*set_state=*/true, std::move(state)); }
void ResilientSession::SendRewind(int64_t step) { machine_->SendRewind(step); }
absl::StatusOr<StepResult> ResilientSession::Receive() { return machine_->Receive(); }

absl::StatusOr<StepResult> ResilientSession::Step(const Tensor& input) {
  Send(input);
  return Receive();
}

absl::StatusOr<StepResult> ResilientSession::SetState(const Tensor& state) {
  SendState(state);
  return Receive();
}

absl::StatusOr<StepResult> ResilientSession::Rewind(int64_t step) {
  SendRewind(step);
  return Receive();
}

absl::Status ResilientSession::Close() { return machine_->Close(); }

}  // namespace gruserve::client

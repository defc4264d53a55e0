#include "core/session/session.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"

namespace gruserve {
namespace {

// What a session costs beside its state: itself, its places in the table, and
// its id in both.
constexpr int64_t kOverheadBytes = 2048;
// When a refused client may try again.
constexpr int64_t kRetryAfterMs = 10;

absl::Status OverCredit(int64_t max_inflight) {
  return absl::ResourceExhaustedError(
      absl::StrCat("more than max_inflight = ", max_inflight, " operations of the session wait or run"));
}

}  // namespace

Session::Session(Options options, const std::vector<float>& h_0, std::weak_ptr<SessionOwner> owner,
                 Executor* executor, Clock* clock)
    : options_(std::move(options)),
      owner_(std::move(owner)),
      executor_(executor),
      clock_(clock),
      state_(options_.model.get(), rows()),
      holder_(options_.holder),
      last_done_(clock->Now()) {
  if (!h_0.empty()) state_.Set(h_0);
}

int64_t Session::MemoryBytes(const LoadedModel& model, int64_t rows) {
  return CheckedAdd(SessionState::Bytes(model, rows), kOverheadBytes)
      .value_or(std::numeric_limits<int64_t>::max());
}

void Session::Submit(SessionOp op, std::shared_ptr<SessionSink> sink) {
  Queued queued;
  queued.op = std::move(op);
  queued.sink = std::move(sink);
  std::optional<Queued> overrun;
  {
    absl::MutexLock lock(&mu_);
    Admit(&queued);
    if (queued.over_credit && over_credit_ >= kRefusedPerCredit * options_.max_inflight) {
      overrun = std::move(queued);
    } else if (!Enqueue(std::move(queued))) {
      return;
    }
  }
  if (overrun) {
    RefuseOverrun(*std::move(overrun));
  } else {
    Pump();
  }
}

void Session::Admit(Queued* queued) {
  SessionOp& op = queued->op;
  const bool close = op.kind == SessionOpKind::kClose;
  const bool allowed = holder_ == nullptr || queued->sink.get() == holder_ || (close && op.close_held);
  queued->epoch = allowed ? epoch_ : 0;
  if (close && allowed && !closing_) {
    closing_ = true;  // Closing needs no credit, once.
    return;
  }
  queued->over_credit = !allowed || in_flight_ >= options_.max_inflight;
  queued->in_flight = !queued->over_credit;
  if (!queued->over_credit) return;
  op.values = {};
  if (op.refused.ok()) op.refused = OverCredit(options_.max_inflight);
}

bool Session::Enqueue(Queued queued) {
  if (queued.in_flight) ++in_flight_;
  if (queued.over_credit) ++over_credit_;
  queue_.push_back(std::move(queued));
  return !std::exchange(busy_, true);
}

void Session::RefuseOverrun(Queued queued) {
  if (const auto owner = owner_.lock()) owner->OnOverrun(*this, queued.sink.get());
  SessionOpResult result;
  result.status = OverCredit(options_.max_inflight);
  result.reason = SessionErrorReason::kCredits;
  result.index = queued.op.index;
  result.retry_after_ms = kRetryAfterMs;
  {
    absl::MutexLock lock(&mu_);
    result.expected_step = ledger_.next();
  }
  if (queued.sink != nullptr) queued.sink->OnOpDone(std::move(queued.op), std::move(result));
}

void Session::ReadState(ReadDone done) {
  Queued queued;
  queued.read = std::move(done);
  {
    absl::MutexLock lock(&mu_);
    if (!Enqueue(std::move(queued))) return;
  }
  Pump();
}

SessionDescription Session::Describe() const {
  absl::MutexLock lock(&mu_);
  return DescribeLocked();
}

SessionDescription Session::DescribeLocked() const {
  SessionDescription description;
  description.id = options_.id;
  description.model_name = options_.model->name();
  description.model_version = options_.model->version();
  description.batch_size = options_.batch_size;
  description.epoch = epoch_;
  description.next_step = ledger_.next();
  description.max_inflight = options_.max_inflight;
  description.attached = holder_ != nullptr;
  description.memory_bytes = memory_bytes();
  description.idle = in_flight_ > 0 ? absl::ZeroDuration() : clock_->Now() - last_done_;
  return description;
}

absl::StatusOr<uint64_t> Session::Attach(const SessionSink* holder) {
  absl::MutexLock lock(&mu_);
  if (!ended_.ok()) return ended_;
  if (closing_) return absl::NotFoundError(absl::StrCat("session \"", id(), "\" is being closed"));
  holder_ = holder;
  last_done_ = clock_->Now();
  return ++epoch_;
}

void Session::Detach() {
  absl::MutexLock lock(&mu_);
  holder_ = nullptr;
}

Session::IdleVerdict Session::EndIfIdleSince(absl::Time latest, const absl::Status& why) {
  absl::MutexLock lock(&mu_);
  if (busy_) return {false, clock_->Now()};
  if (last_done_ > latest) return {false, last_done_};
  ended_ = why;
  ended_reason_ = SessionErrorReason::kEvictedIdle;
  holder_ = nullptr;
  return {true, last_done_};
}

void Session::Pump() {
  while (TakeNext()) {
    if (Start()) return;  // The executor's thread goes on.
    Complete();
  }
}

bool Session::TakeNext() {
  absl::MutexLock lock(&mu_);
  if (queue_.empty()) {
    current_ = {};
    busy_ = false;
    return false;
  }
  current_ = std::move(queue_.front());
  queue_.pop_front();
  if (current_.over_credit) --over_credit_;
  result_ = {};
  allowed_ = false;
  if (current_.read == nullptr) {
    Judge();
  } else {
    allowed_ = ended_.ok();
  }
  return true;
}

void Session::Judge() {
  if (!ended_.ok()) {
    result_.status = ended_;
    result_.reason = ended_reason_;
    return;
  }
  if (current_.epoch != epoch_) {
    result_.status =
        absl::AbortedError(absl::StrCat("another stream holds session \"", id(), "\", under epoch ", epoch_));
    result_.reason = SessionErrorReason::kFenced;
    return;
  }
  StepLedger::Verdict verdict = ledger_.Judge(current_.op);
  allowed_ = verdict.status.ok();
  result_.status = std::move(verdict.status);
  result_.reason = verdict.reason;
  result_.index = verdict.index;
  if (current_.over_credit && result_.status.code() == absl::StatusCode::kResourceExhausted) {
    result_.reason = SessionErrorReason::kCredits;
    result_.retry_after_ms = kRetryAfterMs;
  }
}

void Session::Complete() {
  if (current_.read != nullptr) {
    std::vector<float> values = allowed_ ? state_.Get() : std::vector<float>();
    SessionDescription description = Describe();
    const ReadDone read = std::move(current_.read);
    read(std::move(description), std::move(values));
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    if (allowed_ && result_.status.ok()) ledger_.Applied(LogPlaces(current_.op));
    if (allowed_ && !result_.status.ok()) ledger_.Failed();
    if (current_.in_flight) --in_flight_;
    last_done_ = clock_->Now();
    result_.expected_step = ledger_.next();
  }
  const std::shared_ptr<SessionSink> sink = std::move(current_.sink);
  if (sink != nullptr) sink->OnOpDone(std::move(current_.op), std::move(result_));
}

}  // namespace gruserve

#include "core/session/session.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/failpoint.h"
#include "core/base/input_digest.h"
#include "core/base/seeded_bug.h"

namespace gruserve {
namespace {

// About what an idle session costs beside its state. Measured over gRPC with 100,000 of them on
// a fresh server: 470 to 520 bytes for itself, its places in the table, its stream's hold, and
// what messages leave behind in malloc's arenas. Long ids cost up to 100 more.
constexpr int64_t kOverheadBytes = 512;

}  // namespace

Session::Session(Options options, const std::vector<float>& h_0,
                 std::shared_ptr<SessionSurroundings> surroundings)
    : id_(options.id),
      remember_steps_(static_cast<uint8_t>(options.remember_steps)),
      opened_s_(static_cast<uint32_t>(absl::ToUnixSeconds(surroundings->clock->Now()))),
      model_(std::move(options.model)),
      batch_size_(static_cast<int32_t>(options.batch_size)),
      tenant_(options.tenant),
      surroundings_(std::move(surroundings)),
      state_(model_.get(), rows()),
      kept_(options.keep_states > 0 ? std::make_unique<KeptStates>(options.keep_states) : nullptr),
      ledger_(options.start != nullptr && !Seeded(Bug::kRestoreBeginsAtStepOne) ? options.start->step : 0),
      close_with_stream_(options.close_with_stream),
      bit_exact_(options.bit_exact),
      real_time_(std::move(options.real_time)),
      durability_(std::move(options.durability)),
      holder_(options.holder),
      last_done_ns_(absl::ToUnixNanos(surroundings_->clock->Now())) {
  if (!h_0.empty()) state_.Set(h_0);
  const absl::MutexLock lock(&mu_);
  if (durability_ != nullptr) {
    epoch_ = durability_->epoch;
    if (options.start == nullptr)
      durability_->input_digest = FirstInputDigest(id(), model_->weights_sha256());
  }
  if (options.start != nullptr && h_0.empty() && !Seeded(Bug::kRestoreForgetsTheState))
    state_.Set(options.start->state);
  if (kept_ != nullptr) {
    const bool goes_on = options.start != nullptr && !Seeded(Bug::kRestoreKeepsNoStates);
    if (goes_on) kept_->Set(options.start->kept);
    if (!goes_on || options.start->kept.empty()) kept_->Add(ledger_.next() - 1, state_.Get());
  }
  if (options.start == nullptr) return;
  if (remember_steps_ == 0) return;
  remembered_ = std::make_unique<RememberedSteps>(remember_steps_);
  remembered_->Set(options.start->step, options.start->remembered);
}

int64_t Session::MemoryBytes(const LoadedModel& model, int64_t rows, int64_t remember_steps,
                             int64_t keep_states) {
  constexpr int64_t kTooMany = std::numeric_limits<int64_t>::max();
  if (rows > std::numeric_limits<int32_t>::max()) return kTooMany;
  const Network& network = model.network();
  int64_t bytes = CheckedAdd(SessionState::Bytes(model, rows), kOverheadBytes).value_or(kTooMany);
  if (keep_states > 0) {
    const int64_t state_size = CheckedMultiply(rows, network.state_size()).value_or(kTooMany);
    bytes = CheckedAdd(bytes, KeptStates::Bytes(keep_states, state_size)).value_or(kTooMany);
  }
  if (remember_steps == 0) return bytes;
  const int64_t remembered =
      RememberedSteps::Bytes(remember_steps, CheckedMultiply(rows, network.output_size()).value_or(kTooMany),
                             CheckedMultiply(rows, network.state_size()).value_or(kTooMany));
  return CheckedAdd(bytes, remembered).value_or(kTooMany);
}

void Session::Submit(SessionOp op, std::shared_ptr<SessionSink> sink) {
  QueuedOp queued;
  queued.op = std::move(op);
  queued.sink = std::move(sink);
  SessionOpResult refusal;
  SessionActivity* pumped = nullptr;
  {
    absl::MutexLock lock(&mu_);
    const bool was_closing = closing_;
    if (Admit(queued.op, queued.sink.get(), &refusal)) {
      queued.epoch = epoch_;
      queued.in_flight = closing_ == was_closing;
      pumped = Enqueue(queued);
      if (pumped == nullptr) return;
    }
  }
  if (pumped != nullptr) {
    Pump(*pumped);
  } else if (queued.sink != nullptr) {
    queued.sink->OnOpDone(queued.op, refusal);
  }
}

bool Session::Admit(const SessionOp& op, const SessionSink* sink, SessionOpResult* refusal) {
  const bool close = op.kind == SessionOpKind::kClose;
  refusal->index = op.index;
  refusal->expected_step = ledger_.next() + places_ahead_;
  if (holder_ != nullptr && sink != holder_ && !(close && op.close_held)) {
    refusal->status = Fenced();
    refusal->reason = FencedReason();
    return false;
  }
  if (close && !closing_) {  // Closing needs no credit, once.
    closing_ = true;
    return true;
  }
  if (in_flight_ >= surroundings_->max_inflight) {
    refusing_ = true;
    refusal->status = absl::ResourceExhaustedError(absl::StrCat(
        "more than max_inflight = ", surroundings_->max_inflight, " operations of the session wait or run"));
    refusal->reason = SessionErrorReason::kCredits;
    refusal->retry_after_ms = kRetryAfterMs;
    return false;
  }
  if (TooFarAhead(op, refusal->expected_step)) {
    refusing_ = true;
    refusal->status = absl::ResourceExhaustedError(
        absl::StrCat("more than max_undurable = ", durability_->max_undurable,
                     " steps of the session are ahead of durable_step = ", durability_->durable_step));
    refusal->reason = SessionErrorReason::kCredits;
    refusal->retry_after_ms = kRetryAfterMs;
    refusal->durable_step = durability_->durable_step;
    return false;
  }
  if (refusing_ && op.kind == SessionOpKind::kStep && op.index == 0) {
    refusal->status = StepLedger::Barred(refusal->expected_step);
    refusal->reason = SessionErrorReason::kBarrier;
    return false;
  }
  // One that was sent before makes nothing good.
  if (op.index == 0 || op.index >= refusal->expected_step) refusing_ = false;
  return true;
}

absl::Status Session::Fenced() const {
  return absl::AbortedError(
      absl::StrCat("another stream holds session \"", id(), "\", under epoch ", epoch_));
}

SessionActivity* Session::Enqueue(QueuedOp& queued) {
  if (queued.in_flight) ++in_flight_;
  const SessionOp& op = queued.op;
  const bool is_new = op.index == 0 || op.index >= ledger_.next() + places_ahead_;
  if (queued.between == nullptr && is_new) queued.places = LogPlaces(op);
  places_ahead_ += static_cast<int32_t>(queued.places);
  const bool first = activity_ == nullptr;
  if (first) activity_ = surroundings_->shelf.Take();
  activity_->queue.push_back(std::move(queued));
  return first ? activity_.get() : nullptr;
}

void Session::ReadState(ReadDone done) {
  Between([this, done = std::move(done)](bool alive) {
    done(Describe(), alive ? state_.Get() : std::vector<float>());
  });
}

void Session::Between(std::function<void(bool alive)> look) {
  QueuedOp queued;
  queued.between = std::move(look);
  SessionActivity* pumped = nullptr;
  {
    absl::MutexLock lock(&mu_);
    pumped = Enqueue(queued);
  }
  if (pumped != nullptr) Pump(*pumped);
}

SessionDescription Session::Describe() const {
  absl::MutexLock lock(&mu_);
  return DescribeLocked();
}

SessionDescription Session::DescribeLocked() const {
  SessionDescription description;
  description.id = id();
  description.model_name = model_->name();
  description.model_version = model_->version();
  description.batch_size = batch_size_;
  description.epoch = epoch_;
  description.next_step = ledger_.next();
  if (durability_ != nullptr) {
    description.durability = durability_->mode;
    description.durable_step = durability_->durable_step;
    description.max_undurable = durability_->max_undurable;
    description.input_digest = durability_->input_digest;
  }
  description.bit_exact = bit_exact_;
  description.max_inflight = surroundings_->max_inflight;
  description.queued = in_flight_;
  description.attached = holder_ != nullptr;
  description.remember_steps = remember_steps_;
  description.keep_states = keep_states();
  description.memory_bytes = MemoryBytes(*model_, rows(), remember_steps_, keep_states());
  if (real_time_ != nullptr) {
    description.real_time = real_time_->clock.contract();
    description.late_steps = real_time_->clock.late_steps();
  }
  const absl::Time now = surroundings_->clock->Now();
  description.age = now - absl::FromUnixSeconds(opened_s_);
  description.idle = in_flight_ > 0 ? absl::ZeroDuration() : now - last_done();
  description.last_latency = absl::Microseconds(last_latency_us_);
  return description;
}

absl::StatusOr<uint64_t> Session::Attach(const SessionSink* holder, bool close_with_stream,
                                         bool same_client) {
  absl::MutexLock lock(&mu_);
  if (!ended_.ok()) return ended_;
  if (closing_) return absl::NotFoundError(absl::StrCat("session \"", id(), "\" is being closed"));
  holder_ = holder;
  close_with_stream_ = close_with_stream;
  same_client_ = same_client;
  Touch();
  ++epoch_;
  if (durability_ != nullptr) epoch_ = std::max(epoch_, durability_->epoch);
  return epoch_;
}

bool Session::Detach() {
  absl::MutexLock lock(&mu_);
  holder_ = nullptr;
  return close_with_stream_;
}

Session::IdleVerdict Session::EndIfIdleSince(absl::Time latest, const absl::Status& why) {
  absl::MutexLock lock(&mu_);
  const bool unsaved = durability_ != nullptr && durability_->durable_step < ledger_.next() - 1;
  if (activity_ != nullptr || unsaved) return {false, surroundings_->clock->Now()};
  if (last_done() > latest) return {false, last_done()};
  ended_ = why;
  ended_reason_ = SessionErrorReason::kEvictedIdle;
  holder_ = nullptr;
  real_time_.reset();
  return {true, last_done()};
}

void Session::Pump(SessionActivity& activity) {
  while (TakeNext(activity)) {
    if (Start(activity)) return;  // The executor's thread goes on.
    Complete(activity);
  }
}

bool Session::TakeNext(SessionActivity& activity) {
  activity.current = {};
  activity.result = {};
  activity.allowed = false;
  activity.due = absl::InfiniteFuture();
  std::unique_ptr<SessionActivity> idle;
  {
    absl::MutexLock lock(&mu_);
    if (!activity.queue.empty()) {
      activity.current = std::move(activity.queue.front());
      activity.queue.pop_front();
      if (activity.current.between == nullptr) {
        Judge(activity);
      } else {
        activity.allowed = ended_.ok();
      }
      return true;
    }
    idle = std::move(activity_);
  }
  surroundings_->shelf.Put(std::move(idle));
  return false;
}

void Session::Judge(SessionActivity& activity) {
  SessionOpResult& result = activity.result;
  if (!ended_.ok()) {
    result.status = ended_;
    result.reason = ended_reason_;
    return;
  }
  if (activity.current.epoch != epoch_) {
    result.status = Fenced();
    result.reason = FencedReason();
    return;
  }
  if (remembered_ != nullptr && !Seeded(Bug::kAppliedStepsRunAgain) && Replay(activity)) return;
  StepLedger::Verdict verdict = ledger_.Judge(activity.current.op);
  activity.allowed = verdict.status.ok();
  result.status = std::move(verdict.status);
  result.reason = verdict.reason;
  result.index = verdict.index;
  if (!activity.allowed || real_time_ == nullptr) return;
  const SessionOp& op = activity.current.op;
  if (op.kind == SessionOpKind::kStep && op.time_steps == 1)
    activity.due = real_time_->clock.Due(op.received);
}

void Session::Apply(const SessionActivity& activity) {
  const SessionOp& op = activity.current.op;
  if (LogPlaces(op) == 0) return;
  ledger_.Applied(LogPlaces(op));
  const bool set_state = op.kind == SessionOpKind::kSetState;
  if (durability_ != nullptr && !(set_state && Seeded(Bug::kDigestLeavesStatesOut))) {
    uint64_t& digest = durability_->input_digest;
    digest = op.rewind_to >= 0
                 ? ExtendInputDigestByRewind(digest, activity.result.index, op.rewind_to)
                 : ExtendInputDigest(digest, activity.result.index, LogPlaces(op), set_state, op.values);
  }
  if (remember_steps_ == 0) return;
  if (remembered_ == nullptr) remembered_ = std::make_unique<RememberedSteps>(remember_steps_);
  remembered_->Add(op, activity.result);
}

bool Session::Replay(SessionActivity& activity) {
  const SessionOp& op = activity.current.op;
  SessionOpResult& result = activity.result;
  if (!op.refused.ok() || !ledger_.WasApplied(op)) return false;
  result.status = remembered_->Replay(op, &result);
  if (result.status.ok()) return true;
  result.index = op.index;
  result.reason = SessionErrorReason::kIndex;
  ledger_.Failed();
  return true;
}

void Session::NoteLatency(const SessionOp& op) {
  if (op.received == absl::Time()) return;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t us = absl::ToInt64Microseconds(last_done() - op.received);
  last_latency_us_ = static_cast<int32_t>(std::clamp<int64_t>(us, 0, kMost));
}

void Session::Complete(SessionActivity& activity) {
  QueuedOp& current = activity.current;
  SessionOpResult& result = activity.result;
  if (current.between != nullptr) {
    current.between(activity.allowed);
    return;
  }
  const bool ran = activity.allowed && result.status.ok();
  const int64_t places = LogPlaces(current.op);
  if (kept_ != nullptr && ran && places > 0) kept_->Add(result.index + places - 1, state_.Get());
  Follow follow = Follow::kGive;
  {
    absl::MutexLock lock(&mu_);
    places_ahead_ -= static_cast<int32_t>(current.places);
    if (ran) Apply(activity);
    if (activity.allowed && !ran) ledger_.Failed();
    Touch();
    NoteLatency(current.op);
    if (last_done() > activity.due && real_time_ != nullptr) real_time_->CountLate();
    result.expected_step = ledger_.next();
    if (durability_ != nullptr) follow = Note(activity, ran && places > 0);
    if (current.in_flight && follow < Follow::kHold) --in_flight_;
  }
  Failpoint("applied");
  if (follow == Follow::kGiveAndTell) surroundings_->keeper->OnMoved(shared_from_this());
  if (follow == Follow::kHoldAndWrite) surroundings_->keeper->OnCheckpoint(shared_from_this(), MakeRecord());
  if (follow >= Follow::kHold) {
    DeliverHeld();
  } else if (current.sink != nullptr) {
    current.sink->OnOpDone(current.op, result);
  }
  Failpoint("answered");
}

}  // namespace gruserve

// What a session does for its record in a store, and with results that wait for it.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/seeded_bug.h"
#include "core/session/checkpoint_form.h"
#include "core/session/session.h"

namespace gruserve {

bool Session::TooFarAhead(const SessionOp& op, int64_t expected_step) const {
  if (durability_ == nullptr || durability_->max_undurable == 0) return false;
  const bool is_new = op.index == 0 || op.index >= expected_step;
  return is_new && op.kind != SessionOpKind::kClose &&
         expected_step - 1 - durability_->durable_step >= durability_->max_undurable;
}

Session::Follow Session::Note(SessionActivity& activity, bool applied) {
  SessionOpResult& result = activity.result;
  result.durable_step = durability_->durable_step;
  const bool early = Seeded(Bug::kSyncAnswersBeforeTheWrite) && durability_->mode == Durability::kSync;
  if (early || Seeded(Bug::kAsyncSaysDurableTooEarly)) result.durable_step = ledger_.next() - 1;
  if (durability_->mode != Durability::kSync || early) {
    return applied && !std::exchange(durability_->moved, true) ? Follow::kGiveAndTell : Follow::kGive;
  }
  QueuedOp& current = activity.current;
  const int64_t needs = result.status.ok() ? result.index + LogPlaces(current.op) - 1 : 0;
  durability_->held.push_back(
      {std::move(current.op), std::move(result), std::move(current.sink), needs, current.in_flight});
  return applied ? Follow::kHoldAndWrite : Follow::kHold;
}

void Session::DeliverHeld() {
  bool mine = false;
  while (true) {
    HeldResult next;
    {
      absl::MutexLock lock(&mu_);
      SessionDurability& durability = *durability_;
      if (durability.delivering && !mine) return;
      mine = true;
      durability.delivering = !durability.held.empty() &&
                              (durability.lost || durability.held.front().needs <= durability.durable_step);
      if (!durability.delivering) return;
      next = std::move(durability.held.front());
      durability.held.pop_front();
      if (next.in_flight) --in_flight_;
      if (next.needs > durability.durable_step) {
        next.result = {};
        next.result.status = ended_;
        next.result.reason = ended_reason_;
      }
      next.result.durable_step = durability.durable_step;
    }
    if (next.sink != nullptr) next.sink->OnOpDone(next.op, next.result);
  }
}

Checkpoint Session::MakeCheckpoint() const {
  Checkpoint checkpoint = CheckpointForm(state_.model(), batch_size_);
  checkpoint.remember_steps = static_cast<uint32_t>(remember_steps_);
  checkpoint.state = state_.Get();
  checkpoint.keep_states = static_cast<uint32_t>(keep_states());
  if (kept_ != nullptr) checkpoint.kept = kept_->Get();
  if (Seeded(Bug::kCheckpointLosesALayer)) checkpoint.state.back() = 0.0f;
  absl::MutexLock lock(&mu_);
  checkpoint.step = ledger_.next() - (Seeded(Bug::kCheckpointIsAStepAhead) ? 0 : 1);
  checkpoint.epoch = epoch_;
  if (remembered_ != nullptr && !Seeded(Bug::kCheckpointForgetsResponses))
    checkpoint.remembered = remembered_->Get();
  if (durability_ == nullptr) return checkpoint;
  checkpoint.durability = durability_->mode;
  checkpoint.input_digest = durability_->input_digest;
  return checkpoint;
}

Checkpoint Session::MakeRecord() {
  {
    const absl::MutexLock lock(&mu_);
    durability_->moved = false;
  }
  Failpoint("record");
  return MakeCheckpoint();
}

void Session::Copy(CopyDone done) {
  Between([this, done = std::move(done)](bool alive) {
    done(Describe(), alive ? std::optional(MakeCheckpoint()) : std::nullopt);
  });
}

void Session::TakeCheckpoint(CheckpointDone done) {
  Between([this, done = std::move(done)](bool alive) {
    done(alive ? std::optional(MakeRecord()) : std::nullopt);
  });
}

Session::Claim Session::claim() const {
  absl::MutexLock lock(&mu_);
  return {{id(), durability_->epoch, durability_->owner}, durability_->recreate, !ended_.ok()};
}

void Session::OnReacquired(const StoreClaim& claim) {
  absl::MutexLock lock(&mu_);
  durability_->epoch = claim.epoch;
  durability_->owner = claim.owner;
}

void Session::OnDurable(int64_t step) {
  {
    absl::MutexLock lock(&mu_);
    if (Seeded(Bug::kOneWriteMakesAllDurable)) step = ledger_.next() - 1;
    durability_->durable_step = std::max(durability_->durable_step, step);
    durability_->recreate = false;
  }
  Failpoint("durable");
  DeliverHeld();
  Failpoint("delivered");
}

void Session::OnRecordMissing() {
  absl::MutexLock lock(&mu_);
  durability_->recreate = true;
}

void Session::OnRecordLost(uint64_t epoch, const std::string& owner) {
  SessionErrorReason reason = SessionErrorReason::kFenced;
  {
    absl::MutexLock lock(&mu_);
    if (!ended_.ok()) return;
    ended_ = absl::AbortedError(
        absl::StrCat("another server resumed session \"", id(), "\", under epoch ", epoch));
    if (SameClient(owner, durability_->owner)) reason = SessionErrorReason::kMoved;
    ended_reason_ = reason;
    holder_ = nullptr;
    real_time_.reset();
    durability_->lost = true;
  }
  Failpoint("lost");
  if (const auto table = surroundings_->owner.lock()) table->OnLost(*this, epoch, reason);
  DeliverHeld();
}

}  // namespace gruserve

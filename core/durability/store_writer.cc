#include "core/durability/store_writer.h"

#include <algorithm>
#include <cstddef>

#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/seeded_bug.h"

namespace gruserve {
namespace {

// Of one transaction or round trip: none may take long.
constexpr size_t kMostAtOnce = 1000;
// For how long a flush waits for sessions that are in the middle of an operation.
constexpr absl::Duration kGather = absl::Milliseconds(5);

StoreResult Ended() { return {StoreOutcome::kUnavailable, "the server is shutting down", 0, ""}; }

Acquired NotAcquired(StoreResult result) {
  Acquired acquired;
  acquired.outcome = result.outcome;
  acquired.message = std::move(result.message);
  return acquired;
}

}  // namespace

StoreWriter::StoreWriter(Options options, SessionStore* store, Clock* clock)
    : options_(options),
      store_(store),
      clock_(clock),
      probe_at_(clock->Now() + options.probe_interval),
      thread_([this] { Run(); }) {}

StoreWriter::~StoreWriter() { Stop(); }

void StoreWriter::Stop() {
  {
    const absl::MutexLock lock(&mu_);
    stop_ = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
  std::deque<Job> left;
  {
    const absl::MutexLock lock(&mu_);
    left.swap(jobs_);
  }
  for (Job& job : left) {
    if (auto* acquire = std::get_if<AcquireJob>(&job)) acquire->done(NotAcquired(Ended()));
    if (auto* get = std::get_if<GetJob>(&job)) get->done(NotAcquired(Ended()));
  }
}

void StoreWriter::Acquire(AcquireRequest request, AcquireDone done) {
  const absl::MutexLock lock(&mu_);
  jobs_.push_back(AcquireJob{std::move(request), std::move(done)});
  changed_.Signal();
}

void StoreWriter::Get(std::string id, AcquireDone done) {
  const absl::MutexLock lock(&mu_);
  jobs_.push_back(GetJob{std::move(id), std::move(done)});
  changed_.Signal();
}

void StoreWriter::KeepAlive(const std::shared_ptr<Session>& session) {
  const absl::MutexLock lock(&mu_);
  // Sessions that ended leave theirs behind, which keeps their memory: no more of them
  // than live ones.
  if (renewals_.size() >= prune_renewals_at_) {
    std::erase_if(renewals_, [](const Renewal& renewal) { return renewal.session.expired(); });
    prune_renewals_at_ = std::max(kLeastPruned, 2 * renewals_.size());
  }
  renewals_.push_back({clock_->Now() + options_.ttl / 3, session});
}

void StoreWriter::OnMoved(std::shared_ptr<Session> session) {
  const absl::MutexLock lock(&mu_);
  moved_.push_back(std::move(session));
  if (moved_.size() > 1) return;
  flush_at_ = clock_->Now() + FlushInterval();
  changed_.Signal();
}

absl::Duration StoreWriter::FlushInterval() const {
  constexpr int64_t kRestsPerWrite = 19;
  return std::clamp(kRestsPerWrite * flush_cost_, options_.flush_interval,
                    kMostStretch * options_.flush_interval);
}

void StoreWriter::OnCheckpoint(std::shared_ptr<Session> session, Checkpoint checkpoint) {
  const absl::MutexLock lock(&mu_);
  urgent_ = true;
  AddReady(session, std::move(checkpoint));
}

void StoreWriter::OnClosed(const StoreClaim& claim) {
  const absl::MutexLock lock(&mu_);
  jobs_.push_back(DeleteJob{claim});
  changed_.Signal();
}

void StoreWriter::OnEvicted(const StoreClaim& claim) {
  const absl::MutexLock lock(&mu_);
  jobs_.push_back(ReleaseJob{claim});
  changed_.Signal();
}

bool StoreWriter::Flush(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  const absl::MutexLock lock(&mu_);
  ++flushes_;
  changed_.Signal();
  bool in_time = true;
  while (!Idle() && in_time) in_time = !written_.WaitWithDeadline(&mu_, end);
  --flushes_;
  return Idle();
}

StoreWriter::Counters StoreWriter::counters() const {
  const absl::MutexLock lock(&mu_);
  Counters counters = counters_;
  counters.unsaved = static_cast<int64_t>(moved_.size() + ready_.size()) + asked_;
  if (!counters.available) counters.unavailable_for = clock_->Now() - unavailable_since_;
  return counters;
}

bool StoreWriter::Idle() const {
  return !busy_ && asked_ == 0 && moved_.empty() && ready_.empty() && jobs_.empty();
}

absl::Time StoreWriter::WakeAt() const {
  absl::Time wake = std::min(flush_at_, probe_at_);
  if (!ready_.empty()) wake = std::min(wake, Gathers() ? gather_until_ : write_after_);
  if (!renewals_.empty()) wake = std::min(wake, renewals_.front().due);
  return wake;
}

bool StoreWriter::SomethingToDo() const {
  return !jobs_.empty() || (flushes_ > 0 && !moved_.empty()) || WakeAt() <= clock_->Now();
}

bool StoreWriter::Take(Turn* turn) {
  const absl::MutexLock lock(&mu_);
  busy_ = false;
  if (Idle()) written_.SignalAll();
  while (!stop_ && !SomethingToDo()) {
    const absl::Duration wait = WakeAt() - clock_->Now();
    // A fake clock stands still meanwhile: hence never for long.
    changed_.WaitWithTimeout(&mu_, std::min(wait, options_.flush_interval));
  }
  if (stop_) return false;
  busy_ = true;
  const absl::Time now = clock_->Now();
  if (flush_at_ <= now || flushes_ > 0) {
    turn->moved.swap(moved_);
    flush_at_ = absl::InfiniteFuture();
    flush_cost_ = absl::ZeroDuration();
    gather_until_ = now + kGather;
  }
  if (write_after_ <= now && !Gathers()) {
    turn->ready.swap(ready_);
    urgent_ = false;
  }
  turn->probe = probe_at_ <= now;
  probe_at_ = now + options_.probe_interval;
  turn->jobs.swap(jobs_);
  while (!renewals_.empty() && renewals_.front().due <= now && turn->renewals.size() < kMostAtOnce) {
    if (std::shared_ptr<Session> session = renewals_.front().session.lock()) {
      renewals_.push_back({now + options_.ttl / 3, session});
      turn->renewals.push_back(std::move(session));
    }
    renewals_.pop_front();
  }
  return true;
}

void StoreWriter::Run() {
  while (true) {
    Turn turn;
    if (!Take(&turn)) return;
    for (const std::shared_ptr<Session>& session : turn.moved) AskForCheckpoint(session);
    Write(std::move(turn.ready));
    DoJobs(std::move(turn.jobs));
    Renew(turn.renewals);
    if (turn.probe) Probe();
  }
}

void StoreWriter::Probe() {
  const Acquired nothing = store_->Get("");  // No session has this id.
  NoteStore(nothing.outcome != StoreOutcome::kUnavailable, nothing.message);
}

void StoreWriter::AskForCheckpoint(const std::shared_ptr<Session>& session) {
  {
    const absl::MutexLock lock(&mu_);
    ++asked_;
  }
  session->TakeCheckpoint([this, session](std::optional<Checkpoint> checkpoint) {
    const absl::MutexLock lock(&mu_);
    if (--asked_ == 0) changed_.Signal();
    if (checkpoint.has_value()) AddReady(session, *std::move(checkpoint));
  });
}

void StoreWriter::AddReady(const std::shared_ptr<Session>& session, Checkpoint checkpoint) {
  Checkpoint& newest = ready_[session];
  if (checkpoint.step >= newest.step) newest = std::move(checkpoint);
  changed_.Signal();
}

void StoreWriter::PutBack(const std::shared_ptr<Session>& session, Checkpoint checkpoint) {
  const absl::MutexLock lock(&mu_);
  AddReady(session, std::move(checkpoint));
}

void StoreWriter::Write(Ready ready) {
  std::vector<std::pair<std::shared_ptr<Session>, Checkpoint>> batch;
  for (auto it = ready.begin(); it != ready.end(); ++it) {
    batch.emplace_back(it->first, std::move(it->second));
    if (batch.size() == kMostAtOnce) WriteSome(std::exchange(batch, {}));
  }
  if (!batch.empty()) WriteSome(std::move(batch));
}

void StoreWriter::WriteSome(std::vector<std::pair<std::shared_ptr<Session>, Checkpoint>> batch) {
  std::vector<StorePut> puts;
  puts.reserve(batch.size());
  int64_t bytes = 0;
  for (auto& [session, checkpoint] : batch) {
    Session::Claim claim = session->claim();
    checkpoint.epoch = claim.claim.epoch;
    // The record of one that was closed is not made anew.
    puts.push_back({std::move(claim.claim), checkpoint.step, EncodeCheckpoint(checkpoint), options_.ttl,
                    claim.recreate && !claim.ended});
    bytes += static_cast<int64_t>(puts.back().checkpoint.size());
  }
  Failpoint("write");
  const absl::Time begin = absl::Now();
  const bool skip = Seeded(Bug::kAcknowledgesWithoutWriting) && counters().batches % 3 != 0;
  const std::vector<StoreResult> results =
      skip ? std::vector<StoreResult>(puts.size(), {StoreOutcome::kOk, "", 0, ""}) : store_->PutBatch(puts);
  {
    const absl::MutexLock lock(&mu_);
    ++counters_.batches;
    counters_.checkpoints += static_cast<int64_t>(batch.size());
    counters_.checkpoint_bytes += bytes;
    counters_.write_time += absl::Now() - begin;
    flush_cost_ += absl::Now() - begin;
  }
  Failpoint("written");
  for (size_t i = 0; i < batch.size(); ++i) OnWritten(batch[i].first, std::move(batch[i].second), results[i]);
}

void StoreWriter::OnWritten(const std::shared_ptr<Session>& session, Checkpoint checkpoint,
                            const StoreResult& result) {
  switch (result.outcome) {
    case StoreOutcome::kOk:
      NoteStore(/*available=*/true, "");
      session->OnDurable(checkpoint.step);
      return;
    case StoreOutcome::kAbsent:
      // It expired, or the store forgot it; or the session is closed, and it is deleted.
      if (session->claim().ended) return;
      session->OnRecordMissing();
      PutBack(session, std::move(checkpoint));
      return;
    case StoreOutcome::kFenced:
    case StoreOutcome::kStale:
    case StoreOutcome::kExists: {
      {
        const absl::MutexLock lock(&mu_);
        ++counters_.fenced;
      }
      Log(LogLevel::kWarning, "session lost to another server",
          {{"session", session->id()},
           {"epoch", static_cast<int64_t>(result.epoch)},
           {"reason", result.message}});
      session->OnRecordLost(result.epoch, result.owner);
      return;
    }
    case StoreOutcome::kDamaged:
    case StoreOutcome::kUnavailable:
      NoteStore(/*available=*/false, result.message);
      {
        const absl::MutexLock lock(&mu_);
        ++counters_.failures;
        write_after_ = clock_->Now() + options_.retry_interval;
      }
      PutBack(session, std::move(checkpoint));
      return;
  }
}

void StoreWriter::NoteStore(bool available, const std::string& message) {
  {
    const absl::MutexLock lock(&mu_);
    if (std::exchange(counters_.available, available) == available) return;
    if (!available) unavailable_since_ = clock_->Now();
  }
  if (available) {
    Log(LogLevel::kInfo, "session store answers again", {{"store", store_->description()}});
  } else {
    Log(LogLevel::kError, "session store fails", {{"store", store_->description()}, {"reason", message}});
  }
}

void StoreWriter::DoJobs(std::deque<Job> jobs) {
  std::vector<AcquireJob> acquires;  // That follow one another.
  const auto acquire_all = [&] {
    if (!acquires.empty()) AcquireSome(std::exchange(acquires, {}));
  };
  for (Job& job : jobs) {
    if (auto* acquire = std::get_if<AcquireJob>(&job)) {
      acquires.push_back(std::move(*acquire));
      if (acquires.size() == kMostAtOnce) acquire_all();
      continue;
    }
    acquire_all();
    if (auto* get = std::get_if<GetJob>(&job)) get->done(store_->Get(get->id));
    // A record that stays though it should not is one until its time is over.
    if (auto* remove = std::get_if<DeleteJob>(&job)) store_->Delete(remove->claim);
    if (auto* release = std::get_if<ReleaseJob>(&job)) store_->Release(release->claim);
  }
  acquire_all();
}

void StoreWriter::AcquireSome(std::vector<AcquireJob> jobs) {
  std::vector<AcquireRequest> requests;
  requests.reserve(jobs.size());
  for (AcquireJob& job : jobs) requests.push_back(std::move(job.request));
  std::vector<Acquired> acquired = store_->AcquireBatch(requests);
  NoteStore(acquired.front().outcome != StoreOutcome::kUnavailable, acquired.front().message);
  {
    const absl::MutexLock lock(&mu_);
    for (const Acquired& one : acquired) counters_.acquired += one.outcome == StoreOutcome::kOk ? 1 : 0;
  }
  for (size_t i = 0; i < jobs.size(); ++i) jobs[i].done(std::move(acquired[i]));
}

void StoreWriter::Renew(const std::vector<std::shared_ptr<Session>>& sessions) {
  std::vector<std::shared_ptr<Session>> living;
  std::vector<StoreClaim> claims;
  for (const std::shared_ptr<Session>& session : sessions) {
    Session::Claim claim = session->claim();
    if (claim.ended) continue;
    claims.push_back(std::move(claim.claim));
    living.push_back(session);
  }
  if (claims.empty()) return;
  const std::vector<StoreResult> results = store_->Renew(claims, options_.ttl);
  for (size_t i = 0; i < living.size(); ++i) {
    if (results[i].outcome == StoreOutcome::kFenced)
      living[i]->OnRecordLost(results[i].epoch, results[i].owner);
    if (results[i].outcome != StoreOutcome::kAbsent) continue;
    living[i]->OnRecordMissing();
    AskForCheckpoint(living[i]);
  }
}

}  // namespace gruserve

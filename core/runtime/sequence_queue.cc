#include "core/runtime/sequence_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gruserve {
namespace {

absl::Status Cancelled() { return absl::CancelledError("the call was cancelled"); }

absl::Status MayBegin(const SequenceTask& task, absl::Time now) {
  if (task.cancelled.load(std::memory_order_relaxed)) return Cancelled();
  if (task.deadline >= now) return absl::OkStatus();
  return absl::DeadlineExceededError("the deadline passed while the sequence waited");
}

absl::Status Begin(const SequenceQueue::Turn& turn) {
  SequenceTask& task = *turn.task;
  absl::Status status = MayBegin(task, turn.begun);
  SequenceCall call = task.call;
  if (task.joined != nullptr) {
    JoinedCalls& joined = *task.joined;
    for (size_t i = 0; i < joined.tasks().size(); ++i)
      joined.Refuse(i, MayBegin(*joined.tasks()[i], turn.begun));
    call = joined.Join();
    if (call.batch_size > 0) status = absl::OkStatus();
  }
  GRUSERVE_RETURN_IF_ERROR(status);
  task.run = std::make_unique<NetworkRun>(task.model->shared_network(), call, turn.parallelism);
  return absl::OkStatus();
}

bool IsCancelled(const SequenceTask& task) {
  return task.joined != nullptr ? task.joined->cancelled() : task.cancelled.load(std::memory_order_relaxed);
}

}  // namespace

bool SequenceQueue::HasTurn(int worker) const {
  return !waiting_.empty() || std::any_of(begun_.begin(), begun_.end(), [worker](const Begun& begun) {
    return IsFor(begun, worker) || Helpable(begun);
  });
}

bool SequenceQueue::LeavesToOthers(int worker) const {
  return std::any_of(begun_.begin(), begun_.end(),
                     [worker](const Begun& begun) { return begun.slow_worker == worker; });
}

SequenceQueue::Begun* SequenceQueue::NextBegun(int worker) {
  Begun* next = nullptr;
  for (Begun& begun : begun_) {
    if (IsFor(begun, worker) && (next == nullptr || VirtualTime(*begun.task) < VirtualTime(*next->task)))
      next = &begun;
  }
  const bool others_first = next != nullptr && !waiting_.empty() &&
                            static_cast<int64_t>(begun_.size()) < 2 * num_workers_ &&
                            shares_.VirtualTime(waiting_.next()) < VirtualTime(*next->task);
  return others_first ? nullptr : next;
}

SequenceQueue::Turn SequenceQueue::Take(int worker, absl::Time now) {
  if (Begun* const begun = NextBegun(worker)) {
    begun->shared = begun->shared || (begun->last_worker != kNobody && begun->last_worker != worker);
    begun->last_worker = worker;
    begun->slow_worker = kNobody;
    shares_.Advance(shares_.Of(*begun->task));
    return {.task = begun->task,
            .run = begun->run,
            .slice = ClaimOf(begun->run, worker, now),
            .worker = worker,
            .begun = now};
  }
  // A call alone is done in less of a worker's time than with help.
  if (waiting_.empty()) {
    const auto begun = std::find_if(begun_.begin(), begun_.end(), Helpable);
    return {
        .task = begun->task, .run = begun->run, .slice = begun->run->Help(), .worker = worker, .begun = now};
  }
  SequenceTask* const task = JoinWaiting();
  begun_.push_back({.task = task});
  const int64_t calls = waiting_.size() + static_cast<int64_t>(begun_.size());
  const int64_t parallelism = std::max<int64_t>(1, num_workers_ / calls);
  return {.task = task, .parallelism = parallelism, .worker = worker, .begun = now};
}

SequenceTask* SequenceQueue::TakeLone() {
  SequenceTask* const task = waiting_.PopFront();
  shares_.Leave(shares_.Of(*task));
  return task;
}

void SequenceQueue::SendHelpAway() {
  for (const Begun& begun : begun_) {
    if (begun.run != nullptr) begun.run->SendHelpAway();
  }
}

void SequenceQueue::Push(SequenceTask* task) {
  Tenant* const tenant = shares_.Of(*task);
  shares_.Enter(tenant);
  waiting_.Push(task, tenant);
}

absl::Status SequenceQueue::Admit(const SequenceTask& task, int64_t most) const {
  if (size() >= most) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server's queue is full: ", size(), " sequences wait or run, the most it holds"));
  }
  const int64_t left = most - size();
  if (task.tenant == nullptr || task.tenant->sequences.waiting < left) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("of tenant \"", task.tenant->name, "\" ", task.tenant->sequences.waiting,
                   " sequences wait; the server's queue has ", left, " places left, which are for others"));
}

void SequenceQueue::Charge(const SequenceTask& task, absl::Duration ran) {
  if (task.joined == nullptr) return shares_.Charge(shares_.Of(task), ran);
  int64_t rows = 0;
  for (const SequenceTask* each : task.joined->tasks()) rows += each->call.batch_size;
  for (const SequenceTask* each : task.joined->tasks()) {
    shares_.Charge(shares_.Of(*each), ran * each->call.batch_size / rows);
  }
}

SequenceTask* SequenceQueue::JoinWaiting() {
  shares_.Advance(waiting_.next());
  SequenceTask* const first = waiting_.PopFront();
  std::vector<SequenceTask*> tasks = {first};
  int64_t rows = first->call.batch_size;
  // Its tenant's own before those of others, who would get more than their share.
  waiting_.TakeIf(shares_.Of(*first), [&](SequenceTask* each) {
    if (!JoinedCalls::Fit(*first, rows, *each)) return false;
    tasks.push_back(each);
    rows += each->call.batch_size;
    return true;
  });
  for (const SequenceTask* task : tasks) shares_.Leave(shares_.Of(*task));
  tasks_begun_ += static_cast<int64_t>(tasks.size());
  if (tasks.size() > 1) first->joined = std::make_unique<JoinedCalls>(std::move(tasks));
  return first;
}

NetworkSlice SequenceQueue::ClaimOf(NetworkRun* run, int worker, absl::Time now) {
  if (!run->has_columns() || now < columns_from_) return *run->Claim();
  return *run->Claim(worker % ColumnSlice::kParts);
}

void SequenceQueue::LearnFrom(const Turn& turn, absl::Time now) {
  const SequenceSlice& slice = turn.slice.gru;
  if (slice.columns->shared(slice.part)) {
    pause_ = absl::ZeroDuration();
    return;
  }
  pause_ = std::clamp(std::max(2 * pause_, now - turn.begun), kShortestPause, kLongestPause);
  columns_from_ = now + pause_;
}

std::optional<absl::Status> SequenceQueue::Run(const Turn& turn, int replica_index) {
  if (turn.run == nullptr) return Begin(turn);
  const SequenceSlice& slice = turn.slice.gru;
  if (slice.columns == nullptr) return turn.run->Run(turn.slice, turn.task->model->replica(replica_index));
  if (slice.opens) turn.run->Open(turn.slice);
  if (!slice.columns->Run(slice.part)) return std::nullopt;
  return turn.run->Close(turn.slice);
}

absl::Status SequenceQueue::RunAlone(const SequenceTask& task, int replica_index, absl::Time now) {
  GRUSERVE_RETURN_IF_ERROR(MayBegin(task, now));
  NetworkReplica& replica = task.model->replica(replica_index);
  NetworkRun run(task.model->shared_network(), task.call, /*parallelism=*/1);
  while (!run.done()) {
    if (task.cancelled.load(std::memory_order_relaxed)) run.Fail(Cancelled());
    if (!run.done()) GRUSERVE_RETURN_IF_ERROR(run.Advance(replica));
  }
  return run.status();
}

absl::Status SequenceQueue::End(std::vector<Begun>::iterator begun, const absl::Status& status) {
  const JoinedCalls* const joined = begun->task->joined.get();
  tasks_begun_ -= joined == nullptr ? 1 : static_cast<int64_t>(joined->tasks().size());
  begun_.erase(begun);
  return status;
}

void SequenceQueue::Tell(SequenceTask* task, const absl::Status& status) {
  task->run.reset();
  const std::unique_ptr<JoinedCalls> joined = std::move(task->joined);
  if (joined == nullptr) return task->OnSequenceDone(status);
  for (size_t i = 0; i < joined->tasks().size(); ++i) {
    joined->tasks()[i]->OnSequenceDone(joined->Answer(i, status));
  }
}

std::optional<absl::Status> SequenceQueue::Finish(const Turn& turn, const absl::Status& status,
                                                  absl::Time now, bool others_are_idle) {
  const auto begun = std::find_if(begun_.begin(), begun_.end(),
                                  [&turn](const Begun& each) { return each.task == turn.task; });
  Charge(*turn.task, now - turn.begun);
  if (turn.run != nullptr) {
    if (turn.slice.gru.columns != nullptr) LearnFrom(turn, now);
    begun->run->Finish(turn.slice, status);
  } else if (status.ok()) {
    begun->run = turn.task->run.get();
  } else {
    return End(begun, status);
  }
  NetworkRun& run = *begun->run;
  if (!run.done() && IsCancelled(*turn.task)) run.Fail(Cancelled());
  if (run.done()) return End(begun, run.status());
  if (others_are_idle && begun->shared && !begun->handed_over && run.IsChain()) {
    begun->slow_worker = turn.worker;
    begun->handed_over = true;
  }
  return std::nullopt;
}

}  // namespace gruserve

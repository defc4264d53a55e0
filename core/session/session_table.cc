#include "core/session/session_table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"
#include "core/session/session_id.h"
#include "core/session/session_roster.h"

namespace gruserve {
namespace {

// Sessions that one pass of Expire ends before it lets others at the table.
constexpr size_t kMaxPass = 256;

std::string ModelName(const std::string& name, int64_t version) {
  return absl::StrCat("\"", name, "\" version ", version);
}

absl::Status Stopped() { return absl::UnavailableError("the server is shutting down and opens no sessions"); }

absl::Status OpenAlready(const std::string& id) {
  return absl::AlreadyExistsError(absl::StrCat("session \"", id, "\" is open already"));
}

// What needs no table to be seen wrong.
absl::Status CheckTerms(const OpenSessionOptions& options) {
  if (!options.id.empty()) GRUSERVE_RETURN_IF_ERROR(CheckSessionId(options.id));
  if (options.mode == OpenMode::kResume && options.id.empty()) {
    return absl::InvalidArgumentError("session_id is empty, RESUME expects one");
  }
  if (options.mode == OpenMode::kResume && !options.h_0.empty()) {
    return absl::InvalidArgumentError("h_0 is given, RESUME expects none: the session has its state");
  }
  if (options.mode == OpenMode::kCreate && !options.durable.has_value() && IsMintedSessionId(options.id)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "session_id is \"", options.id, "\", a form that only the server gives out: leave it empty"));
  }
  if (options.remember_steps < 0 || options.remember_steps > kMostRememberedSteps) {
    return absl::InvalidArgumentError(absl::StrCat("remember_steps is ", options.remember_steps, ", 0 to ",
                                                   kMostRememberedSteps, " are wanted"));
  }
  if (options.keep_states < 0 || options.keep_states > kMostKeptStates) {
    return absl::InvalidArgumentError(
        absl::StrCat("keep_states is ", options.keep_states, ", 0 to ", kMostKeptStates, " are wanted"));
  }
  if (options.batch_size < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch_size is ", options.batch_size, ", must be 0 (unbatched) or at least 1"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCreate(const OpenSessionOptions& options) {
  if (options.model == nullptr) {
    return absl::InvalidArgumentError("model is missing, a new session expects one");
  }
  if (IsMintedSessionId(options.id) && options.mode != OpenMode::kCreate) {
    return absl::InvalidArgumentError(absl::StrCat("session_id is \"", options.id,
                                                   "\", which is not open here, and a form that only the ",
                                                   "server gives out: leave it empty to open a new session"));
  }
  const Network& network = options.model->network();
  if (!network.steppable()) {
    return absl::FailedPreconditionError(
        absl::StrCat("model ", ModelName(options.model->name(), options.model->version()),
                     network.bare() != nullptr
                         ? " is bidirectional and cannot step: its reverse direction needs the whole sequence"
                         : " cannot step: " + network.not_steppable(),
                     "; use InferSequence"));
  }
  const int64_t rows = std::max<int64_t>(options.batch_size, 1);
  const auto size = static_cast<int64_t>(options.h_0.size());
  if (size != 0 && CheckedMultiply(rows, network.state_size()) != size) {
    return absl::InvalidArgumentError(absl::StrCat("h_0 has ", size, " values, a session of ", rows,
                                                   " rows of this model expects ", network.state_size(),
                                                   " a row"));
  }
  return absl::OkStatus();
}

namespace {

bool SameClient(const SessionAttachment& one, const SessionAttachment& other) {
  return one.client_instance != nullptr && other.client_instance != nullptr &&
         *one.client_instance == *other.client_instance;
}

// Whether `options` may have the session of `entry`.
absl::Status CheckResume(const OpenSessionOptions& options, const SessionRoster::Entry& entry) {
  const Session& session = *entry.session;
  const ModelHandle model = session.model();
  const LoadedModel& own = *model;
  if (options.model != nullptr && (options.model->name() != own.name() ||
                                   (!options.any_version && options.model->version() != own.version()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("model is ", ModelName(options.model->name(), options.model->version()), ", session \"",
                     session.id(), "\" has ", ModelName(own.name(), own.version())));
  }
  if (options.batch_size != 0 && options.batch_size != session.batch_size()) {
    return absl::InvalidArgumentError(absl::StrCat("batch_size is ", options.batch_size, ", session \"",
                                                   session.id(), "\" has ", session.batch_size()));
  }
  if (options.real_time.has_value() && options.real_time != session.Describe().real_time) {
    return absl::InvalidArgumentError(absl::StrCat("real_time is given and not what session \"", session.id(),
                                                   "\" was opened with: leave it out"));
  }
  if (options.durability.has_value() && options.durability != session.Describe().durability) {
    return absl::InvalidArgumentError(
        absl::StrCat("durability is given and not what session \"", session.id(), "\" has: leave it out"));
  }
  if (options.remember_steps != 0 && options.remember_steps != session.remember_steps()) {
    return absl::InvalidArgumentError(absl::StrCat("remember_steps is ", options.remember_steps,
                                                   ", session \"", session.id(), "\" has ",
                                                   session.remember_steps()));
  }
  if (options.keep_states != 0 && options.keep_states != session.keep_states()) {
    return absl::InvalidArgumentError(absl::StrCat("keep_states is ", options.keep_states, ", session \"",
                                                   session.id(), "\" has ", session.keep_states()));
  }
  if (entry.attachment.sink != nullptr && !options.take_over &&
      !SameClient(options.attachment, entry.attachment)) {
    return absl::FailedPreconditionError(absl::StrCat("another client's stream holds session \"",
                                                      session.id(),
                                                      "\": set take_over to resume it all the same"));
  }
  return absl::OkStatus();
}

// Resumes the live session of `entry` for `options`; `displaced` must be told.
absl::StatusOr<std::shared_ptr<Session>> Resume(const OpenSessionOptions& options, SessionRoster& roster,
                                                SessionRoster::Entry* entry, SessionRoster::Notice* displaced)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(roster.mu) {
  if (options.mode == OpenMode::kCreate) {
    return OpenAlready(options.id);
  }
  GRUSERVE_RETURN_IF_ERROR(CheckResume(options, *entry));
  const bool same_client = SameClient(options.attachment, entry->attachment);
  GRUSERVE_ASSIGN_OR_RETURN(
      const uint64_t epoch,
      entry->session->Attach(options.attachment.sink.get(), options.close_with_stream, same_client));
  displaced->attachment = roster.Attach(entry, options.attachment);
  displaced->status = absl::AbortedError(
      absl::StrCat("another stream resumed session \"", options.id, "\", under epoch ", epoch));
  displaced->reason = same_client ? SessionErrorReason::kMoved : SessionErrorReason::kFenced;
  displaced->epoch = epoch;
  ++roster.counters.resumed;
  return entry->session;
}

// REQUIRES: no lock is held.
void LetGo(const SessionRoster::Evicted& evicted, SessionKeeper* keeper) {
  evicted.session->FreeState();
  evicted.notice.Tell();
  if (evicted.session->durable()) keeper->OnEvicted(evicted.session->claim().claim);
}

std::unique_ptr<SessionDurability> MakeDurability(const OpenSessionOptions& options) {
  if (!options.durable.has_value()) return nullptr;
  auto durability = std::make_unique<SessionDurability>();
  durability->mode = options.durable->mode;
  durability->epoch = options.durable->claim.epoch;
  durability->owner = options.durable->claim.owner;
  durability->max_undurable = options.durable->max_undurable;
  if (options.start == nullptr) return durability;
  durability->durable_step = options.start->step;
  if (!Seeded(Bug::kRestoreForgetsTheDigest)) durability->input_digest = options.start->input_digest;
  return durability;
}

}  // namespace

SessionTable::SessionTable(Options options, Executor* executor, Clock* clock)
    : options_(options),
      roster_(std::make_shared<SessionRoster>(options, clock)),
      surroundings_(std::make_shared<SessionSurroundings>(options.num_workers, options.real_time_share)) {
  surroundings_->owner = roster_;
  surroundings_->executor = executor;
  surroundings_->clock = clock;
  surroundings_->max_inflight = options.max_inflight;
  surroundings_->keeper = options.keeper;
}

SessionTable::~SessionTable() = default;

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Open(OpenSessionOptions options) {
  GRUSERVE_RETURN_IF_ERROR(CheckTerms(options));
  if (options.id.empty()) {
    options.id = MintSessionId();
    options.mode = OpenMode::kCreate;
  }
  SessionRoster::Notice displaced;
  absl::StatusOr<std::shared_ptr<Session>> session(nullptr);
  {
    absl::MutexLock lock(&roster_->mu);
    if (roster_->stopped) return Stopped();
    SessionRoster::Entry* entry = roster_->Find(options.id);
    if (entry != nullptr) {
      session = Resume(options, *roster_, entry, &displaced);
    } else if (options.mode == OpenMode::kResume) {
      session = roster_->NotFound(options.id);
    }
  }
  displaced.Tell();
  if (!session.ok() || *session != nullptr) return session;
  return Create(options);
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::CheckOpen(const OpenSessionOptions& options) {
  GRUSERVE_RETURN_IF_ERROR(CheckTerms(options));
  std::shared_ptr<Session> live;
  {
    absl::MutexLock lock(&roster_->mu);
    if (roster_->stopped) return Stopped();
    const SessionRoster::Entry* entry = options.id.empty() ? nullptr : roster_->Find(options.id);
    if (entry != nullptr) {
      if (options.mode == OpenMode::kCreate) return OpenAlready(options.id);
      GRUSERVE_RETURN_IF_ERROR(CheckResume(options, *entry));
      live = entry->session;
    }
  }
  if (live == nullptr && options.mode == OpenMode::kCreate) GRUSERVE_RETURN_IF_ERROR(CheckCreate(options));
  return live;
}

absl::Status SessionTable::NotFound(const std::string& id) {
  absl::MutexLock lock(&roster_->mu);
  return roster_->NotFound(id);
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Create(const OpenSessionOptions& options) {
  GRUSERVE_RETURN_IF_ERROR(CheckCreate(options));
  const int64_t bytes = Session::MemoryBytes(*options.model, std::max<int64_t>(options.batch_size, 1),
                                             options.remember_steps, options.keep_states);
  {
    absl::MutexLock lock(&roster_->mu);
    GRUSERVE_RETURN_IF_ERROR(roster_->Charge(bytes));
  }
  absl::StatusOr<std::unique_ptr<RealTimeTerms>> real_time = Promise(options);
  if (!real_time.ok()) {
    absl::MutexLock lock(&roster_->mu);
    roster_->Refund(bytes);
    return real_time.status();
  }
  auto session = std::make_shared<Session>(
      Session::Options{options.id, options.model, options.batch_size, options.attachment.sink.get(),
                       *std::move(real_time), options.tenant, options.close_with_stream,
                       options.remember_steps, options.keep_states, options.bit_exact,
                       MakeDurability(options), options.start.get()},
      options.h_0, surroundings_);
  {
    absl::MutexLock lock(&roster_->mu);
    if (roster_->Find(options.id) == nullptr) {
      roster_->Add(session, options.attachment);
      return session;
    }
    roster_->Refund(bytes);
  }
  return Open(options);  // Somebody was faster: that one is now what is found.
}

absl::StatusOr<std::unique_ptr<RealTimeTerms>> SessionTable::Promise(const OpenSessionOptions& options) {
  if (!options.real_time.has_value()) return nullptr;
  const int64_t rows = std::max<int64_t>(options.batch_size, 1);
  GRUSERVE_ASSIGN_OR_RETURN(
      RealTimePromise promise,
      surroundings_->real_time.Promise(options.model->step_costs(), rows, *options.real_time));
  return std::make_unique<RealTimeTerms>(
      RealTimeTerms{RealTimeClock(*options.real_time), std::move(promise)});
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Find(const std::string& id) {
  absl::MutexLock lock(&roster_->mu);
  const SessionRoster::Entry* entry = roster_->Find(id);
  if (entry == nullptr) return roster_->NotFound(id);
  return entry->session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::FindDetached(const std::string& id) {
  absl::MutexLock lock(&roster_->mu);
  const SessionRoster::Entry* entry = roster_->Find(id);
  if (entry == nullptr) return roster_->NotFound(id);
  if (entry->attachment.sink != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("a stream holds session \"", id, "\": operate on it there"));
  }
  return entry->session;
}

std::vector<SessionDescription> SessionTable::List(const std::string& after, int64_t limit,
                                                   const std::string& model) {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    absl::MutexLock lock(&roster_->mu);
    for (auto it = roster_->After(after); it != roster_->end(); ++it) {
      if (static_cast<int64_t>(sessions.size()) >= limit) break;
      const std::shared_ptr<Session>& session = (*it)->session;
      if (model.empty() || session->model()->name() == model) sessions.push_back(session);
    }
  }
  std::vector<SessionDescription> descriptions;
  descriptions.reserve(sessions.size());
  for (const auto& session : sessions) descriptions.push_back(session->Describe());
  return descriptions;
}

void SessionTable::DetachAll(const SessionSink* sink) {
  std::vector<std::shared_ptr<Session>> to_close;
  std::vector<SessionAttachment> released;  // Their sinks go without the lock.
  {
    absl::MutexLock lock(&roster_->mu);
    for (SessionRoster::Entry* entry : roster_->HeldBy(sink)) {
      released.push_back(roster_->Release(entry));
      if (entry->session->Detach()) to_close.push_back(entry->session);
    }
  }
  for (const auto& session : to_close) {
    SessionOp close;
    close.kind = SessionOpKind::kClose;
    session->Submit(std::move(close), nullptr);
  }
}

absl::StatusOr<SessionDescription> SessionTable::Evict(const std::string& id) {
  std::optional<SessionRoster::Evicted> evicted;
  {
    absl::MutexLock lock(&roster_->mu);
    SessionRoster::Entry* entry = roster_->Find(id);
    if (entry == nullptr) return roster_->NotFound(id);
    evicted = roster_->TakeIdle(entry);
  }
  if (!evicted.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("session \"", id, "\" is busy: operations wait or run, or have yet to become durable; ",
                     "try again when it is idle, or close it"));
  }
  const SessionDescription description = evicted->session->Describe();
  LetGo(*evicted, surroundings_->keeper);
  return description;
}

absl::Time SessionTable::Expire() {
  while (true) {
    std::vector<SessionRoster::Evicted> evicted;
    {
      absl::MutexLock lock(&roster_->mu);
      evicted = roster_->TakeDue(kMaxPass);
      if (evicted.empty()) return roster_->NextDue();
    }
    for (const SessionRoster::Evicted& each : evicted) LetGo(each, surroundings_->keeper);
  }
}

std::vector<std::shared_ptr<Session>> SessionTable::SessionsOf(const LoadedModel& model) {
  std::vector<std::shared_ptr<Session>> sessions;
  absl::MutexLock lock(&roster_->mu);
  for (auto it = roster_->After(""); it != roster_->end(); ++it) {
    if ((*it)->session->model().get() == &model) sessions.push_back((*it)->session);
  }
  return sessions;
}

void SessionTable::CarrySessions(const LoadedModel& from, const ModelHandle& to) {
  for (const auto& session : SessionsOf(from)) session->Carry(to);
}

void SessionTable::EndSessionsOf(const LoadedModel& model, absl::Duration limit) {
  for (const auto& session : SessionsOf(model)) {
    session->Retire(absl::NotFoundError(absl::StrCat(
        "session \"", session->id(), "\" was ended: model ", ModelName(model.name(), model.version()),
        " was replaced or unloaded, and sessions may stay on it for ", absl::FormatDuration(limit))));
  }
}

void SessionTable::StopOpening() {
  absl::MutexLock lock(&roster_->mu);
  roster_->stopped = true;
}

SessionTable::Counters SessionTable::counters() const {
  const RealTimeBudget& real_time = surroundings_->real_time;
  absl::MutexLock lock(&roster_->mu);
  Counters counters = roster_->counters;
  counters.late_steps = real_time.late_steps();
  counters.real_time_promised = real_time.promised();
  counters.real_time_limit = real_time.limit();
  return counters;
}

}  // namespace gruserve

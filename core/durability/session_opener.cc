#include "core/durability/session_opener.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/input_digest.h"
#include "core/base/seeded_bug.h"
#include "core/base/status_macros.h"
#include "core/session/checkpoint_form.h"
#include "core/session/session_id.h"

namespace gruserve {
namespace {

const char* NameOf(Durability durability) {
  return durability == Durability::kSync ? "SYNC" : durability == Durability::kAsync ? "ASYNC" : "NONE";
}

AcquireMode ModeOf(const OpenSessionOptions& options, const Session* live) {
  if (options.mode == OpenMode::kCreate) return AcquireMode::kCreate;
  const bool may_create =
      options.mode == OpenMode::kCreateOrResume && live == nullptr && CheckCreate(options).ok();
  return may_create ? AcquireMode::kCreateOrResume : AcquireMode::kResume;
}

absl::Status StatusOf(const std::string& id, const Acquired& acquired) {
  switch (acquired.outcome) {
    case StoreOutcome::kExists:
      return absl::AlreadyExistsError(absl::StrCat("session \"", id, "\" is stored already"));
    case StoreOutcome::kDamaged:
      return absl::DataLossError(
          absl::StrCat("session \"", id, "\" is stored and cannot be read: ", acquired.message));
    default:
      return absl::UnavailableError(
          absl::StrCat("the session store does not answer, try again: ", acquired.message));
  }
}

// What a request to resume says of the session, against what is stored.
absl::Status CheckStored(const OpenSessionOptions& options, const Checkpoint& stored) {
  const auto differs = [&](const char* field, const std::string& came, const std::string& is) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is ", came, ", session \"", options.id, "\" has ", is));
  };
  if (options.model != nullptr &&
      (options.model->name() != stored.model_name ||
       (!options.any_version && options.model->version() != stored.model_version))) {
    return differs("model",
                   absl::StrCat("\"", options.model->name(), "\" version ", options.model->version()),
                   absl::StrCat("\"", stored.model_name, "\" version ", stored.model_version));
  }
  if (options.batch_size != 0 && options.batch_size != stored.batch_size)
    return differs("batch_size", absl::StrCat(options.batch_size), absl::StrCat(stored.batch_size));
  if (options.durability.has_value() && *options.durability != stored.durability)
    return differs("durability", NameOf(*options.durability), NameOf(stored.durability));
  if (options.remember_steps != 0 && options.remember_steps != stored.remember_steps)
    return differs("remember_steps", absl::StrCat(options.remember_steps),
                   absl::StrCat(stored.remember_steps));
  if (options.keep_states != 0 && options.keep_states != stored.keep_states)
    return differs("keep_states", absl::StrCat(options.keep_states), absl::StrCat(stored.keep_states));
  return absl::OkStatus();
}

// Whether `model` can go on from `stored`.
absl::Status CheckModel(const LoadedModel& model, const Checkpoint& stored) {
  if (model.weights_sha256() != stored.weights_sha256) {
    return absl::FailedPreconditionError(
        absl::StrCat("model \"", model.name(), "\" version ", model.version(), " has weights ",
                     model.weights_sha256().substr(0, 12), "..., the stored session was computed with ",
                     stored.weights_sha256.substr(0, 12), "...: serve that model to resume it"));
  }
  return CheckAdoptable(stored, model);
}

// What a session begins with that would be opened with `options`. REQUIRES: they are valid.
Checkpoint FirstCheckpoint(const OpenSessionOptions& options, Durability durability) {
  const LoadedModel& model = *options.model;
  Checkpoint checkpoint;
  if (options.start != nullptr) {
    checkpoint = *options.start;
  } else {
    SessionState state(&model, std::max<int64_t>(options.batch_size, 1));
    if (!options.h_0.empty()) state.Set(options.h_0);
    checkpoint = CheckpointForm(model, options.batch_size);
    checkpoint.remember_steps = static_cast<uint32_t>(options.remember_steps);
    checkpoint.state = state.Get();
    checkpoint.keep_states = static_cast<uint32_t>(options.keep_states);
    if (options.keep_states > 0) checkpoint.kept = {{0, checkpoint.state}};
  }
  checkpoint.durability = durability;
  checkpoint.input_digest = FirstInputDigest(options.id, model.weights_sha256());
  return checkpoint;
}

}  // namespace

absl::Status SessionOpener::CheckDurability(std::optional<Durability> durability) const {
  if (writer_ != nullptr || durability.value_or(Durability::kNone) == Durability::kNone)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("durability is ", NameOf(*durability), ", this server has no store: NONE is wanted"));
}

void SessionOpener::Open(OpenSessionOptions options, OpenDone done) {
  if (const absl::Status status = CheckDurability(options.durability); !status.ok()) {
    done(status);
    return;
  }
  if (!options.bit_exact && options_.require_bit_exact) {
    done(absl::FailedPreconditionError(
        "the checkpoint was computed by other weights or kernels, this server requires equal bits"));
    return;
  }
  absl::StatusOr<std::shared_ptr<Session>> live = table_->CheckOpen(options);
  if (!live.ok()) {
    done(live.status());
    return;
  }
  const bool stored = *live != nullptr && (*live)->durable() && !Seeded(Bug::kResumesWithoutTheStore);
  if (writer_ == nullptr || (*live != nullptr && !stored)) {
    done(table_->Open(std::move(options)));
    return;
  }
  const bool stays_here = options.durability.value_or(options_.default_durability) == Durability::kNone;
  if (options.mode == OpenMode::kCreate && stays_here) {
    OpenUnstored(std::move(options), std::move(done));
  } else {
    OpenStored(std::move(options), *live, std::move(done));
  }
}

void SessionOpener::OpenUnstored(OpenSessionOptions options, OpenDone done) {
  if (options.id.empty()) {
    done(table_->Open(std::move(options)));
    return;
  }
  const std::string id = options.id;
  writer_->Get(id, [this, options = std::move(options), done = std::move(done)](const Acquired& stored) {
    if (stored.outcome == StoreOutcome::kAbsent) {
      done(table_->Open(options));
    } else {
      const bool there = stored.outcome == StoreOutcome::kOk || stored.outcome == StoreOutcome::kDamaged;
      done(there ? absl::AlreadyExistsError(absl::StrCat("session \"", options.id, "\" is stored already"))
                 : StatusOf(options.id, stored));
    }
  });
}

void SessionOpener::OpenStored(OpenSessionOptions options, const std::shared_ptr<Session>& live,
                               OpenDone done) {
  if (options.id.empty()) options.id = MintSessionId();
  const ClientInstance& client = options.attachment.client_instance;
  std::string owner = MintStoreOwner(client == nullptr ? "" : *client);
  Opening opening{std::move(options), std::move(done), std::move(owner), Durability::kAsync};
  opening.mode = opening.options.durability.value_or(options_.default_durability);
  AcquireRequest request;
  request.id = opening.options.id;
  request.mode = ModeOf(opening.options, live.get());
  // CREATE_OR_RESUME of what would not be stored: it is made in memory where it is not there.
  if (opening.mode == Durability::kNone && request.mode == AcquireMode::kCreateOrResume)
    request.mode = AcquireMode::kResume;
  request.owner = opening.owner;
  request.ttl = writer_->ttl();
  if (request.mode != AcquireMode::kResume) {
    const auto first = std::make_shared<const Checkpoint>(FirstCheckpoint(opening.options, opening.mode));
    request.first_checkpoint = EncodeCheckpoint(*first);
    if (opening.options.start != nullptr) opening.options.start = first;
  }
  Failpoint("acquire");
  writer_->Acquire(std::move(request), [this, opening = std::move(opening)](Acquired acquired) mutable {
    OnAcquired(std::move(opening), std::move(acquired));
  });
}

std::shared_ptr<Session> SessionOpener::FindLive(const std::string& id) const {
  absl::StatusOr<std::shared_ptr<Session>> live = table_->Find(id);
  return live.ok() ? *std::move(live) : nullptr;
}

void SessionOpener::OnAcquired(Opening opening, Acquired acquired) {
  Failpoint("acquired");
  OpenSessionOptions& options = opening.options;
  const StoreClaim claim{options.id, acquired.epoch, opening.owner};
  const std::shared_ptr<Session> live = FindLive(options.id);
  if (acquired.outcome == StoreOutcome::kAbsent) {
    OnAbsent(std::move(opening), live);
    return;
  }
  // With a damaged record the epoch has risen all the same.
  const bool taken = acquired.outcome == StoreOutcome::kOk || acquired.outcome == StoreOutcome::kDamaged;
  if (taken && live != nullptr && live->durable()) {
    const StoreClaim before = live->claim().claim;
    const bool mine = acquired.previous_epoch == before.epoch && acquired.previous_owner == before.owner;
    if (mine || Seeded(Bug::kZombieIsBelieved)) {
      ResumeLive(std::move(opening), *live, claim);
      return;
    }
    live->OnRecordLost(acquired.epoch, opening.owner);
  }
  if (acquired.outcome != StoreOutcome::kOk) {
    opening.done(StatusOf(options.id, acquired));
    return;
  }
  if (!acquired.created) {
    const absl::Status restored = Restore(*std::move(acquired.checkpoint), &options);
    if (!restored.ok()) {
      opening.done(restored);
      return;
    }
  }
  OpenAcquired(std::move(opening), claim, acquired.created);
}

void SessionOpener::OnAbsent(Opening opening, const std::shared_ptr<Session>& live) {
  OpenSessionOptions& options = opening.options;
  if (live != nullptr && live->durable()) {
    // The record expired, or the store forgot it: this server has the session.
    const StoreClaim claim{options.id, live->epoch() + 1, opening.owner};
    live->OnRecordMissing();
    ResumeLive(std::move(opening), *live, claim);
    writer_->OnMoved(live);
  } else if (options.mode == OpenMode::kResume && live == nullptr) {
    opening.done(table_->NotFound(options.id));
  } else {
    opening.done(table_->Open(std::move(options)));
  }
}

void SessionOpener::ResumeLive(Opening opening, Session& live, const StoreClaim& claim) {
  live.OnReacquired(claim);
  Failpoint("reacquired");
  if (opening.options.mode == OpenMode::kCreate) {
    opening.done(absl::AlreadyExistsError(absl::StrCat("session \"", claim.id, "\" is open already")));
    return;
  }
  opening.done(table_->Open(std::move(opening.options)));
}

void SessionOpener::OpenAcquired(Opening opening, const StoreClaim& claim, bool created) {
  OpenSessionOptions& options = opening.options;
  const Durability mode = created ? opening.mode : options.start->durability;
  options.mode = OpenMode::kCreate;
  options.durable = DurableTerms{mode, claim, options_.max_undurable};
  absl::StatusOr<std::shared_ptr<Session>> session = table_->Open(std::move(options));
  if (session.ok()) {
    writer_->KeepAlive(*session);
    Failpoint("opened");
  } else if (created) {
    writer_->OnClosed(claim);
  }
  opening.done(std::move(session));
}

absl::StatusOr<ModelHandle> SessionOpener::FindModelOf(const Checkpoint& stored) const {
  absl::StatusOr<ModelHandle> model = find_model_(stored.model_name, stored.model_version);
  if (model.ok()) {
    const absl::Status same = CheckModel(**model, stored);
    if (!same.ok()) model = same;
  }
  const bool carries = options_.carries_sessions && options_.carries_sessions(stored.model_name);
  if (model.ok() || options_.require_bit_exact || !carries) return model;
  GRUSERVE_ASSIGN_OR_RETURN(model, find_model_(stored.model_name, 0));
  GRUSERVE_RETURN_IF_ERROR(CheckAdoptable(stored, **model));
  return model;
}

absl::Status SessionOpener::Restore(Checkpoint checkpoint, OpenSessionOptions* options) const {
  GRUSERVE_RETURN_IF_ERROR(CheckStored(*options, checkpoint));
  GRUSERVE_ASSIGN_OR_RETURN(options->model, FindModelOf(checkpoint));
  const std::string& kernels = options->model->network().kernel_fingerprint();
  options->bit_exact = kernels == checkpoint.kernel_fingerprint &&
                       options->model->weights_sha256() == checkpoint.weights_sha256;
  if (!options->bit_exact && options_.require_bit_exact) {
    return absl::FailedPreconditionError(absl::StrCat(
        "session \"", options->id, "\" was computed by kernels \"", checkpoint.kernel_fingerprint,
        "\", this server has \"", kernels, "\", and requires equal bits"));
  }
  options->batch_size = checkpoint.batch_size;
  options->remember_steps = checkpoint.remember_steps;
  options->keep_states = checkpoint.keep_states;
  options->durability = std::nullopt;
  options->h_0.clear();
  options->start = std::make_shared<const Checkpoint>(std::move(checkpoint));
  return absl::OkStatus();
}

}  // namespace gruserve

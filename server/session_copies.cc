#include "server/session_copies.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status_macros.h"
#include "core/session/checkpoint_form.h"
#include "core/session/session_id.h"
#include "core/store/checkpoint.h"
#include "server/model_codec.h"
#include "server/session_codec.h"
#include "server/unary_call.h"

namespace gruserve::server {
namespace {

absl::Status ClosedMeanwhile(const std::string& id) {
  return absl::NotFoundError(absl::StrCat("session \"", id, "\" was closed meanwhile"));
}

// To open a session that goes on from `start`, which nobody holds.
OpenSessionOptions OptionsOf(std::shared_ptr<const Checkpoint> start, ModelHandle model, Tenant* tenant) {
  OpenSessionOptions options;
  options.model = std::move(model);
  options.batch_size = start->batch_size;
  options.remember_steps = start->remember_steps;
  options.keep_states = start->keep_states;
  options.tenant = tenant;
  options.start = std::move(start);
  return options;
}

absl::Status CheckChosenId(const std::string& id, const std::string& field) {
  if (id.empty()) return absl::OkStatus();
  absl::Status status = gruserve::CheckSessionId(id);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(field, ": ", std::string(status.message())));
}

absl::Status EncodeExport(const Backend& backend, const SessionDescription& description,
                          const Checkpoint& checkpoint, v1::ExportSessionResponse* response) {
  GRUSERVE_ASSIGN_OR_RETURN(std::string bytes, backend.seal->Seal(EncodeCheckpoint(checkpoint)));
  if (static_cast<int64_t>(bytes.size()) > backend.max_result_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the checkpoint has ", bytes.size(), " bytes, the message limit is ", backend.max_result_bytes));
  }
  *response->mutable_session() = EncodeInfo(description);
  response->set_checkpoint(std::move(bytes));
  return absl::OkStatus();
}

// The model that a request names, or else the one that the checkpoint was computed by.
absl::StatusOr<ModelHandle> ModelFor(const Backend& backend, const v1::ImportSessionRequest& request,
                                     const Checkpoint& checkpoint) {
  if (request.has_model()) return FindModel(*backend.models, request.model(), "model");
  GRUSERVE_ASSIGN_OR_RETURN(ModelHandle model,
                            backend.models->Find(checkpoint.model_name, checkpoint.model_version));
  if (model->weights_sha256() == checkpoint.weights_sha256) return model;
  return absl::FailedPreconditionError(
      absl::StrCat(ModelLabel(*model), " has weights ", model->weights_sha256().substr(0, 12),
                   "..., the checkpoint was computed with ", checkpoint.weights_sha256.substr(0, 12),
                   "...: name the model to go on with it all the same"));
}

absl::StatusOr<OpenSessionOptions> DecodeImport(const Backend& backend, Tenant* tenant,
                                                const v1::ImportSessionRequest& request) {
  GRUSERVE_RETURN_IF_ERROR(backend.gate->CheckOpen());
  GRUSERVE_RETURN_IF_ERROR(CheckChosenId(request.session_id(), "session_id"));
  GRUSERVE_ASSIGN_OR_RETURN(const std::optional<Durability> durability,
                            DecodeDurability(request.durability(), ""));
  if (request.checkpoint().empty()) {
    return absl::InvalidArgumentError("checkpoint is empty, the bytes of an ExportSession are wanted");
  }
  GRUSERVE_ASSIGN_OR_RETURN(const std::string_view bytes, backend.seal->Open(request.checkpoint()));
  GRUSERVE_ASSIGN_OR_RETURN(Checkpoint from, DecodeCheckpoint(bytes));
  GRUSERVE_ASSIGN_OR_RETURN(ModelHandle model, ModelFor(backend, request, from));
  const bool bit_exact = from.weights_sha256 == model->weights_sha256() &&
                         from.kernel_fingerprint == model->network().kernel_fingerprint();
  GRUSERVE_ASSIGN_OR_RETURN(Checkpoint own, AdoptCheckpoint(std::move(from), *model));
  OpenSessionOptions options =
      OptionsOf(std::make_shared<const Checkpoint>(std::move(own)), std::move(model), tenant);
  options.id = request.session_id();
  options.durability = durability;
  options.bit_exact = bit_exact;
  return options;
}

absl::StatusOr<std::shared_ptr<Session>> FindSource(const Backend& backend,
                                                    const v1::ForkSessionRequest& request) {
  GRUSERVE_RETURN_IF_ERROR(backend.gate->CheckOpen());
  if (request.count() < 1 || request.count() > kMostForks) {
    return absl::InvalidArgumentError(
        absl::StrCat("count is ", request.count(), ", 1 to ", kMostForks, " are wanted"));
  }
  if (request.fork_ids_size() != 0 && request.fork_ids_size() != request.count()) {
    return absl::InvalidArgumentError(absl::StrCat("fork_ids has ", request.fork_ids_size(),
                                                   " ids, none or as many as count = ", request.count(),
                                                   " are wanted"));
  }
  for (int i = 0; i < request.fork_ids_size(); ++i) {
    GRUSERVE_RETURN_IF_ERROR(CheckChosenId(request.fork_ids(i), absl::StrCat("fork_ids[", i, "]")));
  }
  return FindSession(*backend.sessions, request.session_id());
}

// Opens the forks, from whichever threads they come back on. All or none are left open.
class ForkCall final : public UnaryCall {
 public:
  ForkCall(const Backend& backend, Tenant* tenant, const v1::ForkSessionRequest& request,
           v1::ForkSessionResponse* response)
      : UnaryCall(backend.observer, "ForkSession"),
        backend_(backend),
        tenant_(tenant),
        request_(request),
        response_(response),
        opened_(static_cast<size_t>(std::max(request.count(), 0))),
        left_(opened_.size()) {}

  void Start() {
    absl::StatusOr<std::shared_ptr<Session>> source = FindSource(backend_, request_);
    absl::StatusOr<std::optional<Durability>> durability = DecodeDurability(request_.durability(), "");
    if (source.ok() && !durability.ok()) source = durability.status();
    if (!source.ok()) return Complete(source.status());
    (*source)->Copy([this, model = (*source)->model(), durability = *durability](
                        const SessionDescription& description, std::optional<Checkpoint> checkpoint) {
      if (!checkpoint.has_value()) return Complete(ClosedMeanwhile(request_.session_id()));
      absl::StatusOr<Checkpoint> own = AdoptCheckpoint(*std::move(checkpoint), *model);
      if (!own.ok()) return Complete(own.status());
      OpenSessionOptions options =
          OptionsOf(std::make_shared<const Checkpoint>(*std::move(own)), model, tenant_);
      options.durability = durability.value_or(description.durability);
      options.bit_exact = description.bit_exact;
      OpenAll(options);
    });
  }

 private:
  // The last one to be opened ends the call, and with it `this`.
  void OpenAll(const OpenSessionOptions& options) {
    SessionOpener* const opener = backend_.opener;
    std::vector<std::string> ids(request_.fork_ids().begin(), request_.fork_ids().end());
    ids.resize(static_cast<size_t>(request_.count()));
    for (size_t i = 0; i < ids.size(); ++i) {
      OpenSessionOptions own = options;
      own.id = ids[i];
      opener->Open(std::move(own), [this, i](const absl::StatusOr<std::shared_ptr<Session>>& session) {
        OnOpened(i, session);
      });
    }
  }

  void OnOpened(size_t index, const absl::StatusOr<std::shared_ptr<Session>>& session)
      ABSL_LOCKS_EXCLUDED(mu_) {
    {
      const absl::MutexLock lock(&mu_);
      if (session.ok()) {
        opened_[index] = *session;
      } else if (failed_.ok()) {
        failed_ = session.status();
      }
      if (--left_ > 0) return;
    }
    End();
  }

  void End() ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<std::shared_ptr<Session>> opened;
    absl::Status failed;
    {
      const absl::MutexLock lock(&mu_);
      opened = std::move(opened_);
      failed = failed_;
    }
    for (const std::shared_ptr<Session>& session : opened) {
      if (failed.ok()) {
        *response_->add_sessions() = EncodeInfo(session->Describe());
      } else if (session != nullptr) {
        SessionOp op;
        op.kind = SessionOpKind::kClose;
        op.close_held = true;
        session->Submit(std::move(op), nullptr);
      }
    }
    Complete(failed);
  }

  // Constant after construction.
  const Backend& backend_;
  Tenant* const tenant_;
  const v1::ForkSessionRequest& request_;
  v1::ForkSessionResponse* const response_;

  absl::Mutex mu_;
  std::vector<std::shared_ptr<Session>> opened_ ABSL_GUARDED_BY(mu_);
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  size_t left_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

grpc::ServerUnaryReactor* StartExport(const Backend& backend, const v1::ExportSessionRequest& request,
                                      v1::ExportSessionResponse* response) {
  auto* call = new UnaryCall(backend.observer, "ExportSession");
  const absl::StatusOr<std::shared_ptr<Session>> session =
      FindSession(*backend.sessions, request.session_id());
  if (!session.ok()) {
    call->Complete(session.status());
    return call;
  }
  (*session)->Copy([call, &backend, response, id = request.session_id()](
                       const SessionDescription& description, const std::optional<Checkpoint>& checkpoint) {
    call->Complete(checkpoint.has_value() ? EncodeExport(backend, description, *checkpoint, response)
                                          : ClosedMeanwhile(id));
  });
  return call;
}

grpc::ServerUnaryReactor* StartImport(const Backend& backend, Tenant* tenant,
                                      const v1::ImportSessionRequest& request,
                                      v1::ImportSessionResponse* response) {
  auto* call = new UnaryCall(backend.observer, "ImportSession");
  absl::StatusOr<OpenSessionOptions> options = DecodeImport(backend, tenant, request);
  if (!options.ok()) {
    call->Complete(options.status());
    return call;
  }
  backend.opener->Open(*std::move(options),
                       [call, response](const absl::StatusOr<std::shared_ptr<Session>>& session) {
                         if (session.ok()) *response->mutable_session() = EncodeInfo((*session)->Describe());
                         call->Complete(session.status());
                       });
  return call;
}

grpc::ServerUnaryReactor* StartFork(const Backend& backend, Tenant* tenant,
                                    const v1::ForkSessionRequest& request,
                                    v1::ForkSessionResponse* response) {
  auto* call = new ForkCall(backend, tenant, request, response);
  call->Start();
  return call;
}

}  // namespace gruserve::server

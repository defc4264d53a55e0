#include "server/session_service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/session_copies.h"
#include "server/state_codec.h"
#include "server/tenants.h"
#include "server/tensor_codec.h"
#include "server/unary_call.h"
#include "server/unary_sink.h"

namespace gruserve::server {
namespace {

// A page token is the last id of its page, with a sign of its own in front.
constexpr char kTokenSign[] = "after:";

absl::StatusOr<std::string> DecodePageToken(const std::string& token) {
  if (token.empty()) return std::string();
  if (token.size() > sizeof(kTokenSign) - 1 && token.rfind(kTokenSign, 0) == 0) {
    return token.substr(sizeof(kTokenSign) - 1);
  }
  return absl::InvalidArgumentError(absl::StrCat("page_token is \"", absl::CHexEscape(token),
                                                 "\", a next_page_token of an answer is wanted"));
}

}  // namespace

grpc::ServerUnaryReactor* SessionService::OpenSession(grpc::CallbackServerContext* context,
                                                      const v1::OpenSessionRequest* request,
                                                      v1::OpenSessionResponse* response) {
  auto* call = new UnaryCall(backend_->observer, "OpenSession");
  absl::StatusOr<OpenSessionOptions> options = DecodeOpen(request->open(), *backend_->models);
  if (const absl::Status open = backend_->gate->CheckOpen(); !open.ok()) options = open;
  if (!options.ok()) {
    call->Complete(options.status());
    return call;
  }
  options->tenant = backend_->tenants->Of(*context);
  backend_->opener->Open(*std::move(options),
                         [call, response](const absl::StatusOr<std::shared_ptr<Session>>& session) {
                           if (session.ok())
                             *response->mutable_session() = EncodeInfo((*session)->Describe());
                           call->Complete(session.status());
                         });
  return call;
}

grpc::ServerUnaryReactor* SessionService::GetSession(grpc::CallbackServerContext*,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  auto* call = new UnaryCall(backend_->observer, "GetSession");
  absl::StatusOr<std::shared_ptr<Session>> session = FindSession(*backend_->sessions, request->session_id());
  if (!session.ok()) {
    call->Complete(session.status());
    return call;
  }
  if (!request->include_state()) {
    *response->mutable_session() = EncodeInfo((*session)->Describe());
    call->Complete(absl::OkStatus());
    return call;
  }
  (*session)->ReadState([call, response, held = *session](const SessionDescription& description,
                                                          const std::vector<float>& state) {
    if (state.empty()) {
      call->Complete(absl::NotFoundError(absl::StrCat("session \"", held->id(), "\" was closed meanwhile")));
      return;
    }
    *response->mutable_session() = EncodeInfo(description);
    const int64_t batch_size = held->batch_size();
    const ModelHandle model = held->model();
    EncodeStates(
        state, {.model = *model, .batched = batch_size > 0, .batch_size = std::max<int64_t>(batch_size, 1)},
        TensorForm::kRaw, [response] { return response->mutable_state(); }, response->mutable_states());
    call->Complete(absl::OkStatus());
  });
  return call;
}

grpc::ServerUnaryReactor* SessionService::ListSessions(grpc::CallbackServerContext*,
                                                       const v1::ListSessionsRequest* request,
                                                       v1::ListSessionsResponse* response) {
  return AnswerNow(backend_->observer, "ListSessions", [&]() -> absl::Status {
    if (request->page_size() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("page_size is ", request->page_size(), ", 0 to ", kMaxPageSize, " is wanted"));
    }
    GRUSERVE_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(request->page_token()));
    const int64_t limit =
        request->page_size() == 0 ? kMaxPageSize : std::min(request->page_size(), kMaxPageSize);
    // One more than a page, to know whether another follows.
    std::vector<SessionDescription> found = backend_->sessions->List(after, limit + 1, request->model());
    if (static_cast<int64_t>(found.size()) > limit) {
      found.resize(static_cast<size_t>(limit));
      response->set_next_page_token(kTokenSign + found.back().id);
    }
    for (const SessionDescription& description : found) *response->add_sessions() = EncodeInfo(description);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SessionService::CloseSession(grpc::CallbackServerContext*,
                                                       const v1::CloseSessionRequest* request,
                                                       v1::CloseSessionResponse* response) {
  auto* call = new UnaryCall(backend_->observer, "CloseSession");
  absl::StatusOr<std::shared_ptr<Session>> session = FindSession(*backend_->sessions, request->session_id());
  if (!session.ok()) {
    call->Complete(session.status());
    return call;
  }
  SessionOp op;
  op.kind = SessionOpKind::kClose;
  op.close_held = true;
  (*session)->Submit(std::move(op),
                     std::make_shared<UnarySink>(
                         [call, response, held = *session](const SessionOp&, const SessionOpResult& result) {
                           if (result.status.ok())
                             *response->mutable_session() = EncodeInfo(held->Describe());
                           call->Complete(result.status);
                         }));
  return call;
}

grpc::ServerUnaryReactor* SessionService::EvictSession(grpc::CallbackServerContext*,
                                                       const v1::EvictSessionRequest* request,
                                                       v1::EvictSessionResponse* response) {
  return AnswerNow(backend_->observer, "EvictSession", [&]() -> absl::Status {
    GRUSERVE_RETURN_IF_ERROR(CheckSessionId(request->session_id()));
    GRUSERVE_ASSIGN_OR_RETURN(const SessionDescription ended,
                              backend_->sessions->Evict(request->session_id()));
    *response->mutable_session() = EncodeInfo(ended);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SessionService::ExportSession(grpc::CallbackServerContext*,
                                                        const v1::ExportSessionRequest* request,
                                                        v1::ExportSessionResponse* response) {
  return StartExport(*backend_, *request, response);
}

grpc::ServerUnaryReactor* SessionService::ImportSession(grpc::CallbackServerContext* context,
                                                        const v1::ImportSessionRequest* request,
                                                        v1::ImportSessionResponse* response) {
  return StartImport(*backend_, backend_->tenants->Of(*context), *request, response);
}

grpc::ServerUnaryReactor* SessionService::ForkSession(grpc::CallbackServerContext* context,
                                                      const v1::ForkSessionRequest* request,
                                                      v1::ForkSessionResponse* response) {
  return StartFork(*backend_, backend_->tenants->Of(*context), *request, response);
}

}  // namespace gruserve::server

#include "client/client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/wire/channel_pool.h"
#include "client/wire/grpc_status.h"
#include "client/wire/model_codec.h"
#include "client/wire/session_codec.h"
#include "client/wire/stream_connection.h"
#include "client/wire/tensor_codec.h"
#include "core/base/status_macros.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gruserve/v1/inference_service.grpc.pb.h"
#include "gruserve/v1/model_service.grpc.pb.h"
#include "gruserve/v1/session_service.grpc.pb.h"

namespace gruserve::client {
namespace {

constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kConnectTimeoutMs = 5'000;
constexpr int kLeastReconnectMs = 100;
constexpr int kMostReconnectMs = 2'000;

grpc::ChannelArguments ArgumentsOf(const ConnectOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  // A server that went away is looked for again soon: it may be back.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kLeastReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMostReconnectMs);
  // A connection of its own for each channel: see ChannelPool.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.keepalive != absl::InfiniteDuration()) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                     static_cast<int>(absl::ToInt64Milliseconds(options.keepalive)));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  }
  return arguments;
}

v1::OutputSelection EncodeSelection(OutputSelection selection) {
  switch (selection) {
    case OutputSelection::kAll:
      return v1::OUTPUT_SELECTION_ALL;
    case OutputSelection::kLast:
      return v1::OUTPUT_SELECTION_LAST;
    case OutputSelection::kNone:
      return v1::OUTPUT_SELECTION_NONE;
  }
  return v1::OUTPUT_SELECTION_UNSPECIFIED;
}

}  // namespace

// What all copies of a client share. Thread-safe.
class Client::Core {
 public:
  Core(const std::string& target, const ConnectOptions& connect)
      : options(connect),
        channels(target, ArgumentsOf(connect)),
        inference(v1::InferenceService::NewStub(channels.unary())),
        models(v1::ModelService::NewStub(channels.unary())),
        sessions(v1::SessionService::NewStub(channels.unary())),
        health(grpc::health::v1::Health::NewStub(channels.unary())) {}

  // Runs a unary method with the deadline that `call` asks for.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub* stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, const CallOptions& call) {
    grpc::ClientContext context;
    const absl::Duration timeout = call.timeout.value_or(options.call_timeout);
    if (timeout != absl::InfiniteDuration()) {
      context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout));
    }
    return FromGrpcStatus((stub->*method)(&context, request, response));
  }

  const ConnectOptions options;
  ChannelPool channels;
  const std::unique_ptr<v1::InferenceService::Stub> inference;
  const std::unique_ptr<v1::ModelService::Stub> models;
  const std::unique_ptr<v1::SessionService::Stub> sessions;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health;
};

Client::Client(std::shared_ptr<Core> core) : core_(std::move(core)) {}

absl::StatusOr<Client> Client::Connect(const std::string& target, const ConnectOptions& options) {
  if (target.empty()) return absl::InvalidArgumentError("target is empty, host:port is wanted");
  if (options.call_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "call_timeout is ", absl::FormatDuration(options.call_timeout), ", more than 0 is wanted"));
  }
  if (options.max_message_bytes <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_message_bytes is ", options.max_message_bytes, ", more than 0 is wanted"));
  }
  if (options.keepalive < absl::Seconds(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("keepalive is ", absl::FormatDuration(options.keepalive), ", 1s or more is wanted"));
  }
  return Client(std::make_shared<Core>(target, options));
}

absl::StatusOr<std::vector<ModelSummary>> Client::ListModels(const CallOptions& call) const {
  v1::ListModelsResponse response;
  GRUSERVE_RETURN_IF_ERROR(core_->Call(core_->models.get(), &v1::ModelService::Stub::ListModels,
                                       v1::ListModelsRequest(), &response, call));
  return DecodeModelSummaries(response.models());
}

absl::StatusOr<ModelDescription> Client::GetModel(const ModelSpec& model, const CallOptions& call) const {
  v1::GetModelRequest request;
  EncodeModelSpec(model, request.mutable_model());
  v1::GetModelResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->models.get(), &v1::ModelService::Stub::GetModel, request, &response, call));
  return DecodeModelDescription(response.model());
}

absl::StatusOr<std::vector<ModelSummary>> Client::LoadModel(const ModelSpec& model,
                                                            const CallOptions& call) const {
  v1::LoadModelRequest request;
  EncodeModelSpec(model, request.mutable_model());
  v1::LoadModelResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->models.get(), &v1::ModelService::Stub::LoadModel, request, &response, call));
  return DecodeModelSummaries(response.models());
}

absl::StatusOr<std::vector<ModelSummary>> Client::UnloadModel(const ModelSpec& model,
                                                              const CallOptions& call) const {
  v1::UnloadModelRequest request;
  EncodeModelSpec(model, request.mutable_model());
  v1::UnloadModelResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->models.get(), &v1::ModelService::Stub::UnloadModel, request, &response, call));
  return DecodeModelSummaries(response.models());
}

absl::StatusOr<SequenceResult> Client::InferSequence(const SequenceRequest& request,
                                                     const CallOptions& call) const {
  v1::InferSequenceRequest proto;
  EncodeModelSpec(request.model, proto.mutable_model());
  EncodeTensor(request.input, proto.mutable_input());
  if (request.h_0) EncodeTensor(*request.h_0, proto.mutable_h_0());
  EncodeNamedTensors(request.states, proto.mutable_states());
  proto.mutable_lengths()->Assign(request.lengths.begin(), request.lengths.end());
  proto.set_batch_first(request.batch_first);
  proto.set_output_selection(EncodeSelection(request.output));
  if (request.keep_session) EncodeOpen(*request.keep_session, proto.mutable_keep_session());
  v1::InferSequenceResponse response;
  GRUSERVE_RETURN_IF_ERROR(core_->Call(core_->inference.get(), &v1::InferenceService::Stub::InferSequence,
                                       proto, &response, call));
  SequenceResult result;
  GRUSERVE_ASSIGN_OR_RETURN(result.output, DecodeTensor(response.output()));
  GRUSERVE_ASSIGN_OR_RETURN(result.h_n, DecodeTensor(response.h_n()));
  GRUSERVE_ASSIGN_OR_RETURN(result.states, DecodeNamedTensors(response.states()));
  result.model = DecodeModelSpec(response.model());
  result.gru_cell_count = response.gru_cell_count();
  result.row_steps = response.row_steps();
  if (response.has_session()) result.session = DecodeSessionInfo(response.session());
  return result;
}

absl::StatusOr<CellResult> Client::InferCell(const CellRequest& request, const CallOptions& call) const {
  v1::InferCellRequest proto;
  EncodeModelSpec(request.model, proto.mutable_model());
  EncodeTensor(request.input, proto.mutable_input());
  if (request.h) EncodeTensor(*request.h, proto.mutable_h());
  v1::InferCellResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->inference.get(), &v1::InferenceService::Stub::InferCell, proto, &response, call));
  CellResult result;
  GRUSERVE_ASSIGN_OR_RETURN(result.h, DecodeTensor(response.h()));
  result.model = DecodeModelSpec(response.model());
  result.gru_cell_count = response.gru_cell_count();
  return result;
}

absl::StatusOr<SessionInfo> Client::OpenSession(const OpenOptions& open, const CallOptions& call) const {
  v1::OpenSessionRequest request;
  EncodeOpen(open, request.mutable_open());
  v1::OpenSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::OpenSession, request, &response, call));
  return DecodeSessionInfo(response.session());
}

absl::StatusOr<SessionSnapshot> Client::GetSession(const std::string& session_id, bool include_state,
                                                   const CallOptions& call) const {
  v1::GetSessionRequest request;
  request.set_session_id(session_id);
  request.set_include_state(include_state);
  v1::GetSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::GetSession, request, &response, call));
  SessionSnapshot snapshot;
  snapshot.info = DecodeSessionInfo(response.session());
  if (response.has_state()) {
    GRUSERVE_ASSIGN_OR_RETURN(snapshot.state, DecodeTensor(response.state()));
  }
  GRUSERVE_ASSIGN_OR_RETURN(snapshot.states, DecodeNamedTensors(response.states()));
  return snapshot;
}

absl::StatusOr<std::vector<SessionInfo>> Client::ListSessions(const std::string& model,
                                                              const CallOptions& call) const {
  std::vector<SessionInfo> sessions;
  v1::ListSessionsRequest request;
  request.set_model(model);
  do {
    v1::ListSessionsResponse response;
    GRUSERVE_RETURN_IF_ERROR(core_->Call(core_->sessions.get(), &v1::SessionService::Stub::ListSessions,
                                         request, &response, call));
    for (const v1::SessionInfo& session : response.sessions()) sessions.push_back(DecodeSessionInfo(session));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return sessions;
}

absl::StatusOr<SessionInfo> Client::CloseSession(const std::string& session_id,
                                                 const CallOptions& call) const {
  v1::CloseSessionRequest request;
  request.set_session_id(session_id);
  v1::CloseSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::CloseSession, request, &response, call));
  return DecodeSessionInfo(response.session());
}

absl::StatusOr<SessionInfo> Client::EvictSession(const std::string& session_id,
                                                 const CallOptions& call) const {
  v1::EvictSessionRequest request;
  request.set_session_id(session_id);
  v1::EvictSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::EvictSession, request, &response, call));
  return DecodeSessionInfo(response.session());
}

absl::StatusOr<SessionExport> Client::ExportSession(const std::string& session_id,
                                                    const CallOptions& call) const {
  v1::ExportSessionRequest request;
  request.set_session_id(session_id);
  v1::ExportSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::ExportSession, request, &response, call));
  return SessionExport{DecodeSessionInfo(response.session()), std::move(*response.mutable_checkpoint())};
}

absl::StatusOr<SessionInfo> Client::ImportSession(const std::string& checkpoint, const ImportOptions& options,
                                                  const CallOptions& call) const {
  v1::ImportSessionRequest request;
  request.set_checkpoint(checkpoint);
  request.set_session_id(options.session_id);
  if (options.model) EncodeModelSpec(*options.model, request.mutable_model());
  request.set_durability(EncodeDurability(options.durability));
  v1::ImportSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::ImportSession, request, &response, call));
  return DecodeSessionInfo(response.session());
}

absl::StatusOr<std::vector<SessionInfo>> Client::ForkSession(const std::string& session_id,
                                                             const ForkOptions& options,
                                                             const CallOptions& call) const {
  v1::ForkSessionRequest request;
  request.set_session_id(session_id);
  request.set_count(options.count);
  request.mutable_fork_ids()->Assign(options.fork_ids.begin(), options.fork_ids.end());
  request.set_durability(EncodeDurability(options.durability));
  v1::ForkSessionResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->sessions.get(), &v1::SessionService::Stub::ForkSession, request, &response, call));
  std::vector<SessionInfo> forks;
  for (const v1::SessionInfo& info : response.sessions()) forks.push_back(DecodeSessionInfo(info));
  return forks;
}

absl::StatusOr<StepResult> Client::Step(const std::string& session_id, const Tensor& input,
                                        const StepOptions& step, const CallOptions& call) const {
  v1::StepRequest request;
  request.set_session_id(session_id);
  EncodeStep(input, step, request.mutable_step());
  v1::StepResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->inference.get(), &v1::InferenceService::Stub::Step, request, &response, call));
  return DecodeStep(response.output());
}

absl::StatusOr<HealthStatus> Client::Health(const std::string& service, const CallOptions& call) const {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  GRUSERVE_RETURN_IF_ERROR(
      core_->Call(core_->health.get(), &grpc::health::v1::Health::Stub::Check, request, &response, call));
  switch (response.status()) {
    case grpc::health::v1::HealthCheckResponse::SERVING:
      return HealthStatus::kServing;
    case grpc::health::v1::HealthCheckResponse::NOT_SERVING:
      return HealthStatus::kNotServing;
    default:
      return HealthStatus::kUnknown;
  }
}

std::unique_ptr<StepStream> Client::OpenStream(const StreamOptions& options) const {
  return std::make_unique<StepStream>(StreamConnection::Start(
      core_->channels.LeaseForStream(), options, static_cast<size_t>(core_->options.max_message_bytes)));
}

}  // namespace gruserve::client

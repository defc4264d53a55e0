#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/runtime/compute_pool.h"
#include "core/runtime/model_repository.h"
#include "core/runtime/usable_processors.h"
#include "core/session/session_table.h"
#include "core/store/store_address.h"
#include "server/backend.h"
#include "server/health.h"
#include "server/http_endpoint.h"
#include "server/inference_service.h"
#include "server/model_service.h"
#include "server/poller_call.h"
#include "server/port_file.h"
#include "server/session_reaper.h"
#include "server/session_service.h"
#include "server/stream_registry.h"
#include "server/tenants.h"

namespace gruserve::server {
namespace {

constexpr int kMaxMetadataBytes = 8 << 10;
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kMinPingIntervalMs = 10'000;
// Sessions end this much late, at most.
constexpr absl::Duration kReaperSlack = absl::Seconds(1);
constexpr std::chrono::milliseconds kFlushTime{200};
// To write what is left, also where the calls took all the time there was.
constexpr absl::Duration kLeastFlush = absl::Seconds(1);
// A store that fails for longer takes the server out of traffic until it answers.
constexpr absl::Duration kStoreGrace = absl::Seconds(10);

// gRPC's own switches. Both are global and must come before the first server.
void EnableGrpcExtensions() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

void SetLimits(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(options.max_message_bytes));
  if (options.max_concurrent_streams > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  }
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs);
  // Two servers must not share a port by mistake.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Compressed messages can unfold to any size.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

SessionTable::Options TableOptions(const ServerOptions& options, int num_workers) {
  SessionTable::Options table;
  table.memory_bytes = options.session_memory_bytes;
  table.idle_ttl = options.session_idle_timeout;
  table.grace = options.session_grace;
  table.max_inflight = options.max_inflight_per_session;
  table.num_workers = num_workers;
  table.real_time_share = options.real_time_share;
  return table;
}

}  // namespace

ModelRepository::Options RepositoryOptions(const ServerOptions& options, int num_workers, Clock* clock) {
  ModelRepository::Options repository;
  repository.root = options.repository;
  repository.num_workers = num_workers;
  repository.compute_dtype = ParseComputeDtype(options.compute_dtype).value();
  repository.mode = ParseRepositoryMode(options.repository_mode).value();
  repository.poll_interval = options.poll_interval;
  repository.load_models = absl::StrSplit(options.load_model, ',', absl::SkipWhitespace());
  repository.version_policy = ParseVersionPolicy(options.version_policy).value();
  repository.memory_bytes = options.model_memory;
  repository.clock = clock;
  return repository;
}

// Members are destroyed last to first: each may use those above it.
struct Server::Rooms {
  Rooms(ServerOptions server_options, Clock* server_clock)
      : options(std::move(server_options)),
        clock(server_clock),
        observer(&metrics, clock),
        gate(options.max_concurrent_calls),
        tenants(options.tenant_header, ParseTenantWeights(options.tenant_weights).value()),
        come_back([this] { pool->ComeBack(); }) {}

  absl::Status Build();
  absl::Status StartGrpc();
  absl::Status StartHttp();
  absl::Status Load();
  ~Rooms();
  absl::Status BuildStore();
  // Carries on, or ends, sessions on retired model versions.
  void TendOldSessions();
  std::string MetricsText() const;
  bool Ready() const;

  const ServerOptions options;
  Clock* const clock;
  Metrics metrics;
  CallObserver observer;
  CallGate gate;
  StreamRegistry streams;
  Tenants tenants;
  Backend backend;
  std::unique_ptr<SessionStore> store;
  std::unique_ptr<StoreWriter> writer;  // Null: sessions are only kept in memory.
  std::unique_ptr<ModelRepository> models;
  PollerCall come_back;  // Of the pool, which waits for it.
  std::unique_ptr<ComputePool> pool;
  std::unique_ptr<SessionTable> sessions;
  std::unique_ptr<SessionOpener> opener;
  CheckpointSeal seal;
  std::unique_ptr<SessionReaper> reaper;
  std::unique_ptr<InferenceService> inference_service;
  std::unique_ptr<SessionService> session_service;
  std::unique_ptr<ModelService> model_service;
  std::unique_ptr<grpc::Server> grpc_server;
  std::unique_ptr<Health> health;
  std::atomic<bool> ready = false;
  std::unique_ptr<HttpEndpoint> http;
  std::string address;
  std::string http_address;
  std::once_flag drained;
};

// The writer answers opens of streams that are gone, so it ends before what they use.
Server::Rooms::~Rooms() {
  if (models != nullptr) models->Stop();
  http.reset();
  health.reset();
  grpc_server.reset();
  if (writer != nullptr) writer->Stop();
}

absl::Status Server::Rooms::BuildStore() {
  GRUSERVE_ASSIGN_OR_RETURN(store, OpenSessionStore(StoreAddressOf(options), clock));
  if (store == nullptr) return absl::OkStatus();
  StoreWriter::Options writer_options;
  writer_options.flush_interval = options.checkpoint_interval;
  writer_options.ttl = options.stored_session_ttl;
  writer = std::make_unique<StoreWriter>(writer_options, store.get(), clock);
  Log(LogLevel::kInfo, "session store",
      {{"store", store->description()}, {"survives", Name(store->durability())}});
  return absl::OkStatus();
}

std::string Server::Rooms::MetricsText() const {
  return metrics.Text(sessions->counters(), models->List(), models->counters(),
                      writer != nullptr ? std::optional(writer->counters()) : std::nullopt);
}

bool Server::Rooms::Ready() const {
  return ready && (writer == nullptr || writer->counters().unavailable_for < kStoreGrace);
}

void Server::Rooms::TendOldSessions() {
  const absl::Duration limit = options.old_version_limit;
  for (const ModelCatalogue::Retired& retired : models->RetiredHandles()) {
    if (retired.successor != nullptr && !options.require_bit_exact) {
      sessions->CarrySessions(*retired.model, retired.successor);
    } else if (clock->Now() - retired.since >= limit) {
      sessions->EndSessionsOf(*retired.model, limit);
    }
  }
}

absl::Status Server::Rooms::Build() {
  ComputePool::Options pool_options;
  pool_options.in_place_limit = absl::Microseconds(300);
  // On so few processors a worker takes the polling thread's own; on more, messages that
  // come meanwhile should not wait for long.
  constexpr int kFewProcessors = 2;
  if (UsableProcessors() <= kFewProcessors) pool_options.gather_limit = absl::Microseconds(1200);
  pool_options.ask_back = [this] { come_back.Start(); };
  pool_options.num_workers = options.workers;
  pool_options.max_queued_steps = options.max_queued_steps;
  pool_options.max_queued_sequences = options.max_queued_sequences;
  pool_options.observe_batch = [this](const LoadedModel&, int64_t rows, absl::Duration waited,
                                      absl::Duration ran) { metrics.CountBatch(rows, waited, ran); };
  pool = std::make_unique<ComputePool>(std::move(pool_options), clock);
  ModelRepository::Options repository = RepositoryOptions(options, pool->num_workers(), clock);
  repository.observe = [this](const std::string& name) {
    if (!ready) return;
    health->SetModel(name, models->List());
    TendOldSessions();
  };
  models = std::make_unique<ModelRepository>(std::move(repository));
  GRUSERVE_RETURN_IF_ERROR(BuildStore());
  if (!options.seal_key_file.empty()) {
    GRUSERVE_ASSIGN_OR_RETURN(seal, CheckpointSeal::FromFile(options.seal_key_file));
  }
  SessionTable::Options table_options = TableOptions(options, pool->num_workers());
  table_options.keeper = writer.get();
  sessions = std::make_unique<SessionTable>(table_options, pool.get(), clock);
  opener = std::make_unique<SessionOpener>(
      SessionOpener::Options{ParseDurability(options.default_durability).value(), options.max_undurable_steps,
                             options.require_bit_exact,
                             [this](const std::string& name) { return models->CarriesSessions(name); }},
      sessions.get(),
      [this](const std::string& name, int64_t version) { return models->Find(name, version); }, writer.get());
  reaper =
      std::make_unique<SessionReaper>(sessions.get(), clock, kReaperSlack, [this] { TendOldSessions(); });

  backend.models = models.get();
  backend.sessions = sessions.get();
  backend.opener = opener.get();
  backend.seal = &seal;
  backend.executor = pool.get();
  backend.clock = clock;
  backend.metrics = &metrics;
  backend.observer = &observer;
  backend.gate = &gate;
  backend.streams = &streams;
  backend.tenants = &tenants;
  backend.max_owed_bytes = options.max_owed_bytes;
  // Room for what stands around the elements in a message.
  backend.max_result_bytes =
      options.max_message_bytes - std::min<int64_t>(options.max_message_bytes / 4, 4096);
  backend.step_limits = {options.max_chunk_steps, backend.max_result_bytes};
  return absl::OkStatus();
}

absl::Status Server::Rooms::StartGrpc() {
  HostPort where;
  GRUSERVE_RETURN_IF_ERROR(ParseHostPort("listen", options.listen, &where));
  EnableGrpcExtensions();
  inference_service = std::make_unique<InferenceService>(&backend);
  session_service = std::make_unique<SessionService>(&backend);
  model_service = std::make_unique<ModelService>(&backend);
  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &where.port);
  builder.RegisterService(inference_service.get());
  builder.RegisterService(session_service.get());
  builder.RegisterService(model_service.get());
  grpc_server = builder.BuildAndStart();
  if (grpc_server == nullptr || where.port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen, " for gRPC: is it in use?"));
  }
  address = JoinHostPort(where);
  health = std::make_unique<Health>(grpc_server->GetHealthCheckService());
  return absl::OkStatus();
}

absl::Status Server::Rooms::StartHttp() {
  if (HttpDisabled(options)) return absl::OkStatus();
  HostPort where;
  GRUSERVE_RETURN_IF_ERROR(ParseHostPort("http-listen", options.http_listen, &where));
  GRUSERVE_ASSIGN_OR_RETURN(
      http, HttpEndpoint::Start(where, {[this] { return MetricsText(); }, [this] { return Ready(); }}));
  http_address = http->address();
  return absl::OkStatus();
}

absl::Status Server::Rooms::Load() {
  GRUSERVE_RETURN_IF_ERROR(models->Load());
  ready = true;
  health->SetReady(models->List());
  GRUSERVE_RETURN_IF_ERROR(WritePortFile(options.http_port_file, http_address));
  GRUSERVE_RETURN_IF_ERROR(WritePortFile(options.port_file, address));
  Log(LogLevel::kInfo, "serving",
      {{"version", GRUSERVE_VERSION},
       {"address", address},
       {"http_address", http_address},
       {"workers", pool->num_workers()}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Clock* clock) {
  GRUSERVE_RETURN_IF_ERROR(ValidateOptions(options));
  GRUSERVE_RETURN_IF_ERROR(RemovePortFile(options.port_file));
  GRUSERVE_RETURN_IF_ERROR(RemovePortFile(options.http_port_file));
  std::unique_ptr<Server> server(new Server(std::make_unique<Rooms>(options, clock)));
  Rooms& rooms = *server->rooms_;
  GRUSERVE_RETURN_IF_ERROR(rooms.Build());
  GRUSERVE_RETURN_IF_ERROR(rooms.StartGrpc());
  GRUSERVE_RETURN_IF_ERROR(rooms.StartHttp());
  GRUSERVE_RETURN_IF_ERROR(rooms.Load());
  return server;
}

Server::Server(std::unique_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}

Server::~Server() { Drain(); }

const std::string& Server::address() const { return rooms_->address; }
const std::string& Server::http_address() const { return rooms_->http_address; }

void Server::ExpireSessions() { rooms_->reaper->Pass(); }

void Server::Drain() {
  std::call_once(rooms_->drained, [this] {
    Rooms& rooms = *rooms_;
    if (rooms.health == nullptr) return;
    rooms.ready = false;
    rooms.models->Stop();
    rooms.health->SetDraining(rooms.models->List());
    rooms.gate.Close();
    rooms.sessions->StopOpening();
    Failpoint("drain");
    const absl::Time end = absl::Now() + rooms.options.drain_timeout;
    // What streams moved is saved before they end, so that who resumes a session
    // elsewhere has nothing to send again. A store that hangs may not take all the time.
    if (rooms.streams.Drain(rooms.options.drain_timeout) && rooms.writer != nullptr) {
      rooms.writer->Flush((end - absl::Now()) / 2);
    }
    rooms.streams.EndDrained();
    // Then what runs for ever, such as a Watch of health, is cut, once it could
    // learn of the drain.
    const bool idle = rooms.observer.WaitUntilIdle(end - absl::Now());
    rooms.grpc_server->Shutdown(std::chrono::system_clock::now() + kFlushTime);
    const bool saved =
        rooms.writer == nullptr || rooms.writer->Flush(std::max(end - absl::Now(), kLeastFlush));
    Failpoint("drained");
    Log(idle && saved ? LogLevel::kInfo : LogLevel::kWarning, "drained",
        {{"calls_cut", idle ? "no" : "yes"}, {"all_saved", saved ? "yes" : "no"}});
  });
}

}  // namespace gruserve::server

// The door to a gruserve server: whole sequences, single cells, sessions and
// models by unary calls, and streams of steps (step_stream.h).
//
//   #include "client/client.h"
//   namespace gc = gruserve::client;
//
//   absl::StatusOr<gc::Client> client = gc::Client::Connect("127.0.0.1:50051");
//   if (!client.ok()) return client.status();
//   gc::SequenceRequest request;
//   request.model = "demo";
//   request.input = {{2, 3}, {1, 2, 3, 4, 5, 6}};  // Two time steps of three features.
//   absl::StatusOr<gc::SequenceResult> result = client->InferSequence(request);
//   if (!result.ok()) return result.status();
//   Print(result->output.values);
//
// A Client is a cheap handle: copies share their connections. Thread-safe. Every
// call blocks until its answer, or until its timeout: DeadlineExceeded. Errors
// are the server's own, code and message. Nothing is retried.

#ifndef GRUSERVE_CLIENT_CLIENT_H_
#define GRUSERVE_CLIENT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/model_info.h"
#include "client/session_info.h"
#include "client/step_stream.h"
#include "client/tensor.h"

namespace gruserve::client {

struct ConnectOptions {
  // For calls that say nothing else. Infinite: as long as it takes.
  absl::Duration call_timeout = absl::Seconds(30);
  // The largest message, both ways.
  int max_message_bytes = 64 << 20;
  // A silent connection is probed this often; without an answer within 10 s its
  // calls fail as Unavailable. Infinite: never.
  absl::Duration keepalive = absl::Seconds(30);
};

struct CallOptions {
  // Absent: ConnectOptions::call_timeout.
  std::optional<absl::Duration> timeout;
};

// Which rows of the output a sequence call returns.
enum class OutputSelection { kAll, kLast, kNone };

struct SequenceRequest {
  ModelSpec model;
  Tensor input;                     // [T, B, I]; [B, T, I] with `batch_first`; unbatched [T, I].
  std::optional<Tensor> h_0;        // [layers * directions, B, H], unbatched [layers * directions, H].
  std::vector<NamedTensor> states;  // In place of h_0, for models of several states.
  std::vector<int64_t> lengths;     // Each batch row's own, 1 to T; empty: all are T.
  bool batch_first = false;
  OutputSelection output = OutputSelection::kAll;
  std::optional<OpenOptions> keep_session;  // Leaves h_n behind as a live session.
};

struct SequenceResult {
  Tensor output;                    // Empty with OutputSelection::kNone.
  Tensor h_n;                       // Empty where the model has several states:
  std::vector<NamedTensor> states;  // they are here, in its order.
  ModelSpec model;
  int64_t gru_cell_count = 0;
  int64_t row_steps = 0;
  std::optional<SessionInfo> session;
};

struct CellRequest {
  ModelSpec model;
  Tensor input;             // [B, I], or unbatched [I].
  std::optional<Tensor> h;  // [B, H], or unbatched [H].
};

struct CellResult {
  Tensor h;
  ModelSpec model;
  int64_t gru_cell_count = 0;
};

struct SessionSnapshot {
  SessionInfo info;
  std::optional<Tensor> state;      // Where asked for,
  std::vector<NamedTensor> states;  // or these, of a model of several.
};

struct SessionExport {
  SessionInfo info;        // As it was then.
  std::string checkpoint;  // For ImportSession, here or elsewhere.
};

enum class HealthStatus { kUnknown, kServing, kNotServing };

class Client {
 public:
  // Prepares to talk to `target`, "host:port" or any gRPC name. Does not wait:
  // the first call connects. InvalidArgument for a bad target or bad options.
  static absl::StatusOr<Client> Connect(const std::string& target, const ConnectOptions& options = {});

  absl::StatusOr<std::vector<ModelSummary>> ListModels(const CallOptions& call = {}) const;
  absl::StatusOr<ModelDescription> GetModel(const ModelSpec& model, const CallOptions& call = {}) const;

  // On a server whose repository mode is explicit: loads what is new or changed of a
  // model, or unloads it; a version of 0 is all of them. Answers its versions then. What
  // a failed load was to replace goes on serving.
  absl::StatusOr<std::vector<ModelSummary>> LoadModel(const ModelSpec& model,
                                                      const CallOptions& call = {}) const;
  absl::StatusOr<std::vector<ModelSummary>> UnloadModel(const ModelSpec& model,
                                                        const CallOptions& call = {}) const;

  absl::StatusOr<SequenceResult> InferSequence(const SequenceRequest& request,
                                               const CallOptions& call = {}) const;
  absl::StatusOr<CellResult> InferCell(const CellRequest& request, const CallOptions& call = {}) const;

  // Sessions that no stream holds. Step runs one step, or a chunk, of one.
  absl::StatusOr<SessionInfo> OpenSession(const OpenOptions& open, const CallOptions& call = {}) const;
  absl::StatusOr<SessionSnapshot> GetSession(const std::string& session_id, bool include_state = false,
                                             const CallOptions& call = {}) const;
  // All of them, of `model` only where it is not empty.
  absl::StatusOr<std::vector<SessionInfo>> ListSessions(const std::string& model = "",
                                                        const CallOptions& call = {}) const;
  absl::StatusOr<SessionInfo> CloseSession(const std::string& session_id, const CallOptions& call = {}) const;
  // Drops an idle session from memory; what is stored of it stays.
  absl::StatusOr<SessionInfo> EvictSession(const std::string& session_id, const CallOptions& call = {}) const;
  // Copies of a session, attached or not, between two operations: as bytes, from bytes,
  // and as new sessions on this server, all or none.
  absl::StatusOr<SessionExport> ExportSession(const std::string& session_id,
                                              const CallOptions& call = {}) const;
  absl::StatusOr<SessionInfo> ImportSession(const std::string& checkpoint, const ImportOptions& options = {},
                                            const CallOptions& call = {}) const;
  absl::StatusOr<std::vector<SessionInfo>> ForkSession(const std::string& session_id,
                                                       const ForkOptions& options = {},
                                                       const CallOptions& call = {}) const;
  absl::StatusOr<StepResult> Step(const std::string& session_id, const Tensor& input,
                                  const StepOptions& step = {}, const CallOptions& call = {}) const;

  // "" is the server as a whole; "model/NAME" one model. NotFound where unknown.
  absl::StatusOr<HealthStatus> Health(const std::string& service = "", const CallOptions& call = {}) const;

  // A stream for any number of sessions. Many streams spread over several
  // connections, as a server bounds the streams of each. Never null; a server
  // that cannot be reached shows in the first Open. The stream may outlive the
  // client.
  std::unique_ptr<StepStream> OpenStream(const StreamOptions& options = {}) const;

 private:
  class Core;
  explicit Client(std::shared_ptr<Core> core);

  std::shared_ptr<Core> core_;
};

}  // namespace gruserve::client

#endif  // GRUSERVE_CLIENT_CLIENT_H_

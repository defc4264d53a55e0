// Sessions of the wire as the session floor's values, and back.
// Thread-safe: no state.

#ifndef GRUSERVE_SERVER_SESSION_CODEC_H_
#define GRUSERVE_SERVER_SESSION_CODEC_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/runtime/model_repository.h"
#include "core/session/session.h"
#include "core/session/session_table.h"
#include "gruserve/v1/inference_service.pb.h"
#include "gruserve/v1/session.pb.h"

namespace gruserve::server {

// What one session command may ask for.
struct StepLimits {
  int64_t max_chunk_steps = 4096;
  int64_t max_bytes = int64_t{64} << 20;  // Of one result.
};

// An `open` as the table takes it; its attachment has the client's instance and
// no sink yet.
absl::StatusOr<OpenSessionOptions> DecodeOpen(const v1::OpenSession& open, const ModelRepository& repository);

// InvalidArgument or FailedPrecondition where what is asked for beside model,
// batch and state cannot be had. `prefix` goes before field names.
absl::Status CheckOpenTerms(const v1::OpenSession& open, const std::string& prefix);

// The fields of `open` that need no model.
OpenSessionOptions DecodeOpenTerms(const v1::OpenSession& open);

// Absent where nothing is said; InvalidArgument for a value that is not known.
absl::StatusOr<std::optional<Durability>> DecodeDurability(v1::Durability durability,
                                                           const std::string& prefix);

// InvalidArgument where a request names no session.
absl::Status CheckSessionId(const std::string& id);
// The live session that a request names; also NotFound.
absl::StatusOr<std::shared_ptr<Session>> FindSession(SessionTable& sessions, const std::string& id);

// An operation for `session`. One that is refused carries why, so that it takes
// its turn. `now` is when a timeout begins.
SessionOp DecodeStep(const v1::StepInput& step, const Session& session, const StepLimits& limits,
                     absl::Time now);
SessionOp DecodeSetState(const v1::SetState& set_state, const Session& session);

// Results. REQUIRES: `op` and `result` belong together.
void EncodeStep(const SessionOp& op, const SessionOpResult& result, const Session& session,
                v1::StepOutput* output);
void EncodeStateSet(const SessionOpResult& result, v1::StateSet* state_set);
void EncodeError(const SessionOpResult& result, v1::SessionError* error);
void EncodeError(const absl::Status& status, SessionErrorReason reason, v1::SessionError* error);
// That an open session leaves its stream, and where it stands.
void EncodeFarewell(const absl::Status& status, const SessionDescription& session, v1::SessionError* error);
v1::SessionInfo EncodeInfo(const SessionDescription& description);

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_SESSION_CODEC_H_

#include "client/wire/session_codec.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "client/wire/model_codec.h"
#include "client/wire/tensor_codec.h"
#include "core/base/status_macros.h"

namespace gruserve::client {
namespace {

constexpr char kErrorPayload[] = "type.googleapis.com/gruserve.v1.SessionError";

v1::OpenMode EncodeMode(OpenMode mode) {
  switch (mode) {
    case OpenMode::kCreate:
      return v1::OPEN_MODE_CREATE;
    case OpenMode::kResume:
      return v1::OPEN_MODE_RESUME;
    case OpenMode::kCreateOrResume:
      return v1::OPEN_MODE_CREATE_OR_RESUME;
  }
  return v1::OPEN_MODE_UNSPECIFIED;
}

Durability DecodeDurability(v1::Durability durability) {
  switch (durability) {
    case v1::DURABILITY_NONE:
      return Durability::kNone;
    case v1::DURABILITY_ASYNC:
      return Durability::kAsync;
    case v1::DURABILITY_SYNC:
      return Durability::kSync;
    default:
      return Durability::kServerDefault;
  }
}

SessionErrorReason DecodeReason(v1::ErrorReason reason) {
  switch (reason) {
    case v1::ERROR_REASON_BARRIER:
      return SessionErrorReason::kBarrier;
    case v1::ERROR_REASON_INDEX:
      return SessionErrorReason::kIndex;
    case v1::ERROR_REASON_FENCED:
      return SessionErrorReason::kFenced;
    case v1::ERROR_REASON_EVICTED_IDLE:
      return SessionErrorReason::kEvictedIdle;
    case v1::ERROR_REASON_CREDITS:
      return SessionErrorReason::kCredits;
    case v1::ERROR_REASON_BUDGET:
      return SessionErrorReason::kBudget;
    case v1::ERROR_REASON_DRAINING:
      return SessionErrorReason::kDraining;
    case v1::ERROR_REASON_MOVED:
      return SessionErrorReason::kMoved;
    case v1::ERROR_REASON_VERSION_RETIRED:
      return SessionErrorReason::kVersionRetired;
    default:
      return SessionErrorReason::kNone;
  }
}

// 16 random bytes, one set for the life of the process.
const std::string& ClientInstance() {
  static const std::string* const instance = [] {
    std::random_device device;
    auto* bytes = new std::string(16, '\0');
    for (char& byte : *bytes) byte = static_cast<char>(device());
    return bytes;
  }();
  return *instance;
}

}  // namespace

v1::Durability EncodeDurability(Durability durability) {
  switch (durability) {
    case Durability::kServerDefault:
      return v1::DURABILITY_UNSPECIFIED;
    case Durability::kNone:
      return v1::DURABILITY_NONE;
    case Durability::kAsync:
      return v1::DURABILITY_ASYNC;
    case Durability::kSync:
      return v1::DURABILITY_SYNC;
  }
  return v1::DURABILITY_UNSPECIFIED;
}

void EncodeOpen(const OpenOptions& options, v1::OpenSession* proto) {
  proto->set_session_id(options.session_id);
  if (!options.model.name.empty()) EncodeModelSpec(options.model, proto->mutable_model());
  proto->set_mode(EncodeMode(options.mode));
  proto->set_batch_size(options.batch_size);
  if (options.h_0) EncodeTensor(*options.h_0, proto->mutable_h_0());
  EncodeNamedTensors(options.states, proto->mutable_states());
  proto->set_close_with_stream(options.close_with_stream);
  proto->set_client_instance(ClientInstance());
  proto->set_take_over(options.take_over);
  proto->set_durability(EncodeDurability(options.durability));
  proto->set_remember_steps(options.remember_steps);
  proto->set_keep_states(options.keep_states);
  if (options.real_time) {
    proto->mutable_real_time()->set_period_us(absl::ToInt64Microseconds(options.real_time->period));
    proto->mutable_real_time()->set_deadline_us(absl::ToInt64Microseconds(options.real_time->deadline));
  }
}

SessionInfo DecodeSessionInfo(const v1::SessionInfo& proto) {
  SessionInfo info;
  info.session_id = proto.session_id();
  info.model = DecodeModelSpec(proto.model());
  info.batch_size = proto.batch_size();
  info.epoch = proto.epoch();
  info.next_step = proto.next_step();
  info.durable_step = proto.durable_step();
  info.max_inflight = proto.max_inflight();
  info.max_undurable = proto.max_undurable();
  info.attached = proto.attached();
  info.memory_bytes = proto.memory_bytes();
  info.idle = absl::Milliseconds(proto.idle_ms());
  info.durability = DecodeDurability(proto.durability());
  info.remember_steps = proto.remember_steps();
  info.keep_states = proto.keep_states();
  info.input_digest = proto.input_digest();
  info.bit_exact = proto.bit_exact();
  info.age = absl::Milliseconds(proto.age_ms());
  info.queued = proto.queued();
  info.last_latency = absl::Microseconds(proto.last_latency_us());
  if (proto.has_real_time()) {
    info.real_time = RealTimeContract{absl::Microseconds(proto.real_time().period_us()),
                                      absl::Microseconds(proto.real_time().deadline_us())};
    info.late_steps = proto.late_steps();
  }
  return info;
}

void EncodeStep(const Tensor& input, const StepOptions& options, v1::StepInput* proto) {
  EncodeTensor(input, proto->mutable_input());
  proto->set_index(options.index);
  // 0 says never: a timeout too short for the unit is still a timeout.
  if (options.timeout > absl::ZeroDuration() && options.timeout != absl::InfiniteDuration()) {
    proto->set_timeout_us(std::max<int64_t>(1, absl::ToInt64Microseconds(options.timeout)));
  }
  proto->set_return_state(options.return_state);
}

absl::StatusOr<StepResult> DecodeStep(const v1::StepOutput& proto) {
  StepResult result;
  result.index = proto.index();
  GRUSERVE_ASSIGN_OR_RETURN(result.output, DecodeTensor(proto.output()));
  GRUSERVE_ASSIGN_OR_RETURN(result.state, DecodeTensor(proto.state()));
  GRUSERVE_ASSIGN_OR_RETURN(result.states, DecodeNamedTensors(proto.states()));
  result.durable_step = proto.durable_step();
  result.replayed = proto.replayed();
  result.gru_cell_count = proto.gru_cell_count();
  return result;
}

StateResult DecodeStateSet(const v1::StateSet& proto) {
  return {proto.index(), proto.durable_step(), proto.replayed()};
}

absl::Status DecodeError(const v1::SessionError& proto) {
  absl::Status status(static_cast<absl::StatusCode>(proto.code()), proto.message());
  if (status.ok()) return absl::InternalError("the server sent an error with code OK");
  status.SetPayload(kErrorPayload, absl::Cord(proto.SerializeAsString()));
  return status;
}

std::optional<SessionError> SessionErrorOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kErrorPayload);
  v1::SessionError proto;
  if (!payload || !proto.ParseFromString(std::string(*payload))) return std::nullopt;
  SessionError error;
  error.reason = DecodeReason(proto.reason());
  error.index = proto.index();
  error.expected_step = proto.expected_step();
  error.retry_after = absl::Milliseconds(proto.retry_after_ms());
  error.epoch = proto.epoch();
  error.detached = proto.detached();
  error.durable_step = proto.durable_step();
  return error;
}

}  // namespace gruserve::client

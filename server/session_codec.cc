#include "server/session_codec.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"
#include "server/message_text.h"
#include "server/model_codec.h"
#include "server/state_codec.h"
#include "server/tensor_codec.h"

namespace gruserve::server {
namespace {

constexpr size_t kClientInstanceBytes = 16;

// A number of the wire is that of the value.
static_assert(static_cast<int>(Durability::kNone) == v1::DURABILITY_NONE &&
              static_cast<int>(Durability::kAsync) == v1::DURABILITY_ASYNC &&
              static_cast<int>(Durability::kSync) == v1::DURABILITY_SYNC);

// SessionOp::form: how an answer must look.
constexpr uint32_t kFormMask = 3;  // A TensorForm.
constexpr uint32_t kChunkBit = 4;  // With a time axis.

TensorForm FormOf(const SessionOp& op) { return static_cast<TensorForm>(op.form & kFormMask); }

OpenMode DecodeMode(v1::OpenMode mode) {
  switch (mode) {
    case v1::OPEN_MODE_RESUME:
      return OpenMode::kResume;
    case v1::OPEN_MODE_CREATE_OR_RESUME:
      return OpenMode::kCreateOrResume;
    default:
      return OpenMode::kCreate;
  }
}

v1::ErrorReason EncodeReason(SessionErrorReason reason) {
  switch (reason) {
    case SessionErrorReason::kNone:
      return v1::ERROR_REASON_UNSPECIFIED;
    case SessionErrorReason::kBarrier:
      return v1::ERROR_REASON_BARRIER;
    case SessionErrorReason::kIndex:
      return v1::ERROR_REASON_INDEX;
    case SessionErrorReason::kFenced:
      return v1::ERROR_REASON_FENCED;
    case SessionErrorReason::kEvictedIdle:
      return v1::ERROR_REASON_EVICTED_IDLE;
    case SessionErrorReason::kCredits:
      return v1::ERROR_REASON_CREDITS;
    case SessionErrorReason::kBudget:
      return v1::ERROR_REASON_BUDGET;
    case SessionErrorReason::kDraining:
      return v1::ERROR_REASON_DRAINING;
    case SessionErrorReason::kMoved:
      return v1::ERROR_REASON_MOVED;
    case SessionErrorReason::kVersionRetired:
      return v1::ERROR_REASON_VERSION_RETIRED;
  }
  return v1::ERROR_REASON_UNSPECIFIED;
}

StateRowsSpec SpecOf(const LoadedModel& model, int64_t batch_size) {
  return {.model = model, .batched = batch_size > 0, .batch_size = std::max<int64_t>(batch_size, 1)};
}

absl::Status CheckIndex(int64_t index) {
  if (index >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("index is ", index, ", an index from 1, or 0 for the next one, is wanted"));
}

absl::Status CheckStepIndexes(const TensorView& input, const LoadedModel& model) {
  const auto size = static_cast<size_t>(model.network().input_size());
  for (size_t first = 0; first < input.elements.size(); first += size) {
    GRUSERVE_RETURN_IF_ERROR(
        CheckIndexes(input.elements.subspan(first, size), model, absl::StrCat("input[row ", first / size)));
  }
  return absl::OkStatus();
}

// Fills in values, time steps and form of a step.
absl::Status ReadStepInput(const v1::StepInput& step, const Session& session, const StepLimits& limits,
                           SessionOp& op) {
  const ModelHandle handle = session.model();
  const LoadedModel& model = *handle;
  GRUSERVE_ASSIGN_OR_RETURN(TensorView input, ViewTensor(step.input(), "input"));
  const bool batched = session.batch_size() > 0;
  const int64_t step_rank = batched ? 2 : 1;
  if (input.rank() != step_rank && input.rank() != step_rank + 1) {
    return WrongRank("input", input.rank(),
                     batched ? "2 ([n, I], a step) or 3 ([T, n, I], a chunk) are wanted of a batched session"
                             : "1 ([I], a step) or 2 ([T, I], a chunk) are wanted of an unbatched session");
  }
  const bool chunk = input.rank() > step_rank;
  const Network& network = model.network();
  if (input.dim(input.rank() - 1) != network.input_size()) {  // The label costs.
    return CheckDim(input, "input", input.rank() - 1, network.input_size(), ModelLabel(model));
  }
  if (batched) {
    GRUSERVE_RETURN_IF_ERROR(
        CheckDim(input, "input", input.rank() - 2, session.batch_size(), "the session's batch"));
  }
  op.form = static_cast<uint32_t>(input.form) | (chunk ? kChunkBit : 0);
  op.time_steps = chunk ? input.dim(0) : 1;
  if (op.time_steps < 1 || op.time_steps > limits.max_chunk_steps) {
    return absl::InvalidArgumentError(absl::StrCat("input.shape[0] is ", op.time_steps, ", a chunk has 1 to ",
                                                   limits.max_chunk_steps, " steps"));
  }
  const int64_t result[] = {op.time_steps, session.rows(), network.output_size(), sizeof(float)};
  const int64_t state[] = {session.rows(), network.state_size(), sizeof(float)};
  if (*CheckedProduct(result) + (step.return_state() ? *CheckedProduct(state) : 0) > limits.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the output of ", op.time_steps,
                                                     " steps is larger than ", limits.max_bytes,
                                                     " bytes, the message limit: send shorter chunks"));
  }
  if (!network.index_features().empty()) GRUSERVE_RETURN_IF_ERROR(CheckStepIndexes(input, model));
  if (input.form == TensorForm::kBf16) {
    op.values = std::move(input.widened);
  } else {
    op.values.assign(input.elements.begin(), input.elements.end());
  }
  return absl::OkStatus();
}

absl::Status CheckRealTime(const v1::RealTime& real_time, const std::string& prefix) {
  if (real_time.period_us() < 1) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "real_time.period_us is ", real_time.period_us(),
                                                   ", microseconds from 1 on are wanted"));
  }
  if (real_time.deadline_us() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "real_time.deadline_us is ",
                                                   real_time.deadline_us(),
                                                   ", microseconds, or 0 for the period, are wanted"));
  }
  return absl::OkStatus();
}

absl::Status CheckStepTerms(const v1::StepInput& step) {
  GRUSERVE_RETURN_IF_ERROR(CheckIndex(step.index()));
  if (step.timeout_us() >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("timeout_us is ", step.timeout_us(), ", microseconds, or 0 for no limit, are wanted"));
}

absl::Status ReadRewind(const v1::SetState& set_state, SessionOp& op) {
  if (set_state.has_state() || set_state.states_size() > 0) {
    return absl::InvalidArgumentError("rewind_to is set beside state or states, one of them is wanted");
  }
  if (set_state.rewind_to() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rewind_to is ", set_state.rewind_to(), ", a step from 0 on is wanted"));
  }
  op.rewind_to = set_state.rewind_to();
  return absl::OkStatus();
}

absl::Status ReadState(const v1::SetState& set_state, const Session& session, SessionOp& op) {
  GRUSERVE_RETURN_IF_ERROR(CheckIndex(set_state.index()));
  if (set_state.has_rewind_to()) return ReadRewind(set_state, op);
  std::vector<float> kept;
  const ModelHandle handle = session.model();
  GRUSERVE_ASSIGN_OR_RETURN(const std::span<const float> state,
                            ViewStates(set_state.has_state() ? &set_state.state() : nullptr, "state",
                                       set_state.states(), SpecOf(*handle, session.batch_size()), &kept));
  op.values.assign(state.begin(), state.end());
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOpenTerms(const v1::OpenSession& open, const std::string& prefix) {
  if (!v1::OpenMode_IsValid(open.mode())) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, "mode is ", static_cast<int>(open.mode()), ", a value from 0 to 3 is wanted"));
  }
  GRUSERVE_RETURN_IF_ERROR(DecodeDurability(open.durability(), prefix).status());
  if (open.remember_steps() > kMostRememberedSteps) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "remember_steps is ", open.remember_steps(),
                                                   ", 0 to ", kMostRememberedSteps, " are wanted"));
  }
  if (open.keep_states() > kMostKeptStates) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "keep_states is ", open.keep_states(), ", 0 to ",
                                                   kMostKeptStates, " are wanted"));
  }
  if (open.batch_size() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, "batch_size is ", open.batch_size(),
                     ", a number of rows, or 0 for an unbatched session, is wanted"));
  }
  if (!open.client_instance().empty() && open.client_instance().size() != kClientInstanceBytes) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "client_instance has ",
                                                   open.client_instance().size(), " bytes, ",
                                                   kClientInstanceBytes, " are wanted"));
  }
  if (open.mode() == v1::OPEN_MODE_RESUME && open.session_id().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(prefix, "session_id is empty, RESUME wants the session's id"));
  }
  if (open.has_real_time()) return CheckRealTime(open.real_time(), prefix);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Durability>> DecodeDurability(v1::Durability durability,
                                                           const std::string& prefix) {
  if (!v1::Durability_IsValid(durability)) {
    return absl::InvalidArgumentError(absl::StrCat(prefix, "durability is ", static_cast<int>(durability),
                                                   ", a value from 0 to 3 is wanted"));
  }
  if (durability == v1::DURABILITY_UNSPECIFIED) return std::nullopt;
  return static_cast<Durability>(durability);
}

OpenSessionOptions DecodeOpenTerms(const v1::OpenSession& open) {
  OpenSessionOptions options;
  options.id = open.session_id();
  options.mode = DecodeMode(open.mode());
  options.batch_size = open.batch_size();
  options.close_with_stream = open.close_with_stream();
  options.take_over = open.take_over();
  options.remember_steps = open.remember_steps();
  options.keep_states = open.keep_states();
  options.durability = DecodeDurability(open.durability(), "").value();
  if (open.has_real_time()) {
    const absl::Duration period = absl::Microseconds(open.real_time().period_us());
    const int64_t deadline_us = open.real_time().deadline_us();
    options.real_time = RealTimeContract{period, deadline_us == 0 ? period : absl::Microseconds(deadline_us)};
  }
  if (!open.client_instance().empty()) {
    options.attachment.client_instance = std::make_shared<const std::string>(open.client_instance());
  }
  return options;
}

absl::StatusOr<OpenSessionOptions> DecodeOpen(const v1::OpenSession& open,
                                              const ModelRepository& repository) {
  GRUSERVE_RETURN_IF_ERROR(CheckOpenTerms(open, ""));
  OpenSessionOptions options = DecodeOpenTerms(open);
  const bool resume = options.mode == OpenMode::kResume;
  if (resume && (open.has_h_0() || open.states_size() > 0)) {
    return absl::InvalidArgumentError(
        "h_0 or states is set, RESUME keeps the session's state: none is wanted");
  }
  if (resume && !open.has_model()) return options;
  GRUSERVE_ASSIGN_OR_RETURN(options.model, FindModel(repository, open.model(), "model"));
  GRUSERVE_RETURN_IF_ERROR(CheckSteppable(*options.model));
  options.any_version = open.model().version() == 0 && open.model().label().empty();
  std::vector<float> kept;
  GRUSERVE_ASSIGN_OR_RETURN(const std::span<const float> h_0,
                            ViewStates(open.has_h_0() ? &open.h_0() : nullptr, "h_0", open.states(),
                                       SpecOf(*options.model, open.batch_size()), &kept));
  options.h_0.assign(h_0.begin(), h_0.end());
  return options;
}

absl::Status CheckSessionId(const std::string& id) {
  if (!id.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("session_id is empty, a session's id is required");
}

absl::StatusOr<std::shared_ptr<Session>> FindSession(SessionTable& sessions, const std::string& id) {
  GRUSERVE_RETURN_IF_ERROR(CheckSessionId(id));
  return sessions.Find(id);
}

SessionOp DecodeStep(const v1::StepInput& step, const Session& session, const StepLimits& limits,
                     absl::Time now) {
  SessionOp op;
  op.kind = SessionOpKind::kStep;
  op.return_state = step.return_state();
  op.refused = CheckStepTerms(step);
  if (op.refused.ok()) op.refused = ReadStepInput(step, session, limits, op);
  op.index = std::max<int64_t>(step.index(), 0);
  if (step.timeout_us() > 0) op.deadline = now + absl::Microseconds(step.timeout_us());
  return op;
}

SessionOp DecodeSetState(const v1::SetState& set_state, const Session& session) {
  SessionOp op;
  op.kind = SessionOpKind::kSetState;
  op.refused = ReadState(set_state, session, op);
  op.index = std::max<int64_t>(set_state.index(), 0);
  return op;
}

void EncodeStep(const SessionOp& op, const SessionOpResult& result, const Session& session,
                v1::StepOutput* output) {
  const ModelHandle handle = session.model();
  const LoadedModel& model = *handle;
  output->set_index(result.index);
  output->set_durable_step(result.durable_step);
  output->set_replayed(result.replayed);
  output->set_gru_cell_count(model.network().cells_per_step() * op.time_steps);
  // [T, n, H], of which the session may lack the first two.
  std::array<int64_t, 3> dims{};
  size_t rank = 0;
  if ((op.form & kChunkBit) != 0) dims[rank++] = op.time_steps;
  if (session.batch_size() > 0) dims[rank++] = session.batch_size();
  dims[rank++] = model.network().output_size();
  const std::span shape(dims.data(), rank);
  FillTensor(shape, FormOf(op), result.output, output->mutable_output());
  if (op.return_state) {
    EncodeStates(
        result.state, SpecOf(model, session.batch_size()), FormOf(op),
        [output] { return output->mutable_state(); }, output->mutable_states());
  }
}

void EncodeStateSet(const SessionOpResult& result, v1::StateSet* state_set) {
  state_set->set_index(result.index);
  state_set->set_durable_step(result.durable_step);
  state_set->set_replayed(result.replayed);
}

void EncodeError(const SessionOpResult& result, v1::SessionError* error) {
  EncodeError(result.status, result.reason, error);
  error->set_index(result.index);
  error->set_expected_step(result.expected_step);
  error->set_retry_after_ms(result.retry_after_ms);
  error->set_durable_step(result.durable_step);
}

void EncodeError(const absl::Status& status, SessionErrorReason reason, v1::SessionError* error) {
  error->set_code(static_cast<int>(status.code()));
  error->set_message(MessageText(status));
  error->set_reason(EncodeReason(reason));
}

void EncodeFarewell(const absl::Status& status, const SessionDescription& session, v1::SessionError* error) {
  EncodeError(status, SessionErrorReason::kDraining, error);
  error->set_expected_step(session.next_step);
  error->set_durable_step(session.durable_step);
  error->set_epoch(session.epoch);
  error->set_detached(true);
}

v1::SessionInfo EncodeInfo(const SessionDescription& description) {
  v1::SessionInfo info;
  info.set_session_id(description.id);
  info.mutable_model()->set_name(description.model_name);
  info.mutable_model()->set_version(description.model_version);
  info.set_batch_size(description.batch_size);
  info.set_epoch(description.epoch);
  info.set_next_step(description.next_step);
  info.set_durable_step(description.durable_step);
  info.set_max_inflight(static_cast<uint32_t>(description.max_inflight));
  info.set_attached(description.attached);
  info.set_memory_bytes(description.memory_bytes);
  info.set_idle_ms(absl::ToInt64Milliseconds(description.idle));
  info.set_durability(static_cast<v1::Durability>(description.durability));
  info.set_max_undurable(static_cast<uint64_t>(description.max_undurable));
  info.set_input_digest(description.input_digest);
  info.set_bit_exact(description.bit_exact);
  info.set_age_ms(absl::ToInt64Milliseconds(description.age));
  info.set_queued(description.queued);
  info.set_last_latency_us(absl::ToInt64Microseconds(description.last_latency));
  info.set_remember_steps(static_cast<uint32_t>(description.remember_steps));
  info.set_keep_states(static_cast<uint32_t>(description.keep_states));
  if (description.real_time.has_value()) {
    info.mutable_real_time()->set_period_us(absl::ToInt64Microseconds(description.real_time->period));
    info.mutable_real_time()->set_deadline_us(absl::ToInt64Microseconds(description.real_time->deadline));
    info.set_late_steps(description.late_steps);
  }
  return info;
}

}  // namespace gruserve::server

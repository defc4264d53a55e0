#include "server/sequence_codec.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"
#include "core/network/state_layout.h"
#include "server/model_codec.h"
#include "server/state_codec.h"

namespace gruserve::server {
namespace {

constexpr int64_t kFloat = sizeof(float);

// The axes of an input: which is time, which is the batch.
struct Axes {
  bool batched = true;
  int64_t time_steps = 0;
  int64_t batch_size = 1;
};

absl::StatusOr<Axes> CheckSequenceInput(const TensorView& input, bool batch_first, const LoadedModel& model) {
  if (input.rank() != 2 && input.rank() != 3) {
    return WrongRank("input", input.rank(),
                     "2 ([T, I]) or 3 ([T, B, I], with batch_first [B, T, I]) are wanted");
  }
  GRUSERVE_RETURN_IF_ERROR(
      CheckDim(input, "input", input.rank() - 1, model.network().input_size(), ModelLabel(model)));
  Axes axes;
  axes.batched = input.rank() == 3;
  const int64_t time_axis = axes.batched && batch_first ? 1 : 0;
  axes.time_steps = input.dim(time_axis);
  if (axes.batched) axes.batch_size = input.dim(1 - time_axis);
  if (axes.time_steps == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("input.shape[", time_axis, "] is 0, at least 1 time step is wanted"));
  }
  return axes;
}

absl::StatusOr<int64_t> CheckLengths(const v1::InferSequenceRequest& request, const Axes& axes) {
  if (request.lengths_size() == 0) return axes.time_steps * axes.batch_size;
  if (request.lengths_size() != axes.batch_size) {
    return absl::InvalidArgumentError(absl::StrCat("lengths has ", request.lengths_size(), " elements, ",
                                                   axes.batched ? "the batch" : "an unbatched input",
                                                   " wants ", axes.batch_size));
  }
  int64_t row_steps = 0;
  for (int row = 0; row < request.lengths_size(); ++row) {
    if (request.lengths(row) < 1 || request.lengths(row) > axes.time_steps) {
      return absl::InvalidArgumentError(absl::StrCat("lengths[", row, "] is ", request.lengths(row),
                                                     ", a number from 1 to ", axes.time_steps, " is wanted"));
    }
    row_steps += request.lengths(row);
  }
  return row_steps;
}

absl::Status CheckSelection(const v1::InferSequenceRequest& request) {
  if (v1::OutputSelection_IsValid(request.output_selection())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("output_selection is ",
                                                 static_cast<int>(request.output_selection()),
                                                 ", a value from 0 to 3 is wanted"));
}

// The answer's bytes and, where layers are stacked, one layer's whole output.
absl::Status CheckMemory(const Network& network, const Axes& axes, v1::OutputSelection selection,
                         int64_t max_bytes) {
  const bool whole_output =
      selection == v1::OUTPUT_SELECTION_UNSPECIFIED || selection == v1::OUTPUT_SELECTION_ALL;
  const bool layers_lie_between = network.bare() == nullptr || network.bare_config().num_layers > 1;
  const int64_t steps = whole_output || layers_lie_between ? axes.time_steps : 1;
  const int64_t output[] = {steps, axes.batch_size, network.output_size(), kFloat};
  const int64_t state[] = {axes.batch_size, network.state_size(), kFloat};
  const std::optional<int64_t> output_bytes = CheckedProduct(output);
  const std::optional<int64_t> state_bytes = CheckedProduct(state);
  if (output_bytes && state_bytes && *output_bytes <= max_bytes &&
      *state_bytes <= max_bytes - *output_bytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the output of ", axes.time_steps, " steps of ", axes.batch_size, " rows of ",
                   network.output_size(), " floats is larger than ", max_bytes,
                   " bytes, the message limit: send fewer rows or shorter sequences"));
}

std::vector<int64_t> OutputShape(const v1::InferSequenceRequest& request, const Axes& axes,
                                 int64_t output_size) {
  std::vector<int64_t> shape;
  if (request.output_selection() != v1::OUTPUT_SELECTION_LAST) shape.push_back(axes.time_steps);
  if (axes.batched) shape.push_back(axes.batch_size);
  if (axes.batched && request.batch_first() && shape.size() == 2) std::swap(shape[0], shape[1]);
  shape.push_back(output_size);
  return shape;
}

void SetInput(const v1::InferSequenceRequest& request, const TensorView& input, const Axes& axes,
              int64_t input_size, SequenceCall& call) {
  const bool batch_first = axes.batched && request.batch_first();
  call.time_steps = axes.time_steps;
  call.batch_size = axes.batch_size;
  call.input = input.elements.data();
  call.input_time_stride = batch_first ? input_size : axes.batch_size * input_size;
  call.input_batch_stride = batch_first ? axes.time_steps * input_size : input_size;
  call.lengths = {request.lengths().data(), static_cast<size_t>(request.lengths_size())};
}

void SetOutput(const v1::InferSequenceRequest& request, TensorForm form, const Axes& axes,
               int64_t output_size, SequenceCall& call, v1::InferSequenceResponse* response) {
  if (request.output_selection() == v1::OUTPUT_SELECTION_NONE) return;
  const std::vector<int64_t> shape = OutputShape(request, axes, output_size);
  call.output = MakeTensor(shape, form, response->mutable_output()).data();
  call.last_output_only = request.output_selection() == v1::OUTPUT_SELECTION_LAST;
  if (call.last_output_only) {
    call.output_batch_stride = output_size;
    return;
  }
  const bool batch_first = axes.batched && request.batch_first();
  call.output_time_stride = batch_first ? output_size : axes.batch_size * output_size;
  call.output_batch_stride = batch_first ? axes.time_steps * output_size : output_size;
}

// Of each row until its end.
absl::Status CheckSequenceIndexes(const SequenceCall& call, const LoadedModel& model, bool batched,
                                  bool batch_first) {
  if (model.network().index_features().empty()) return absl::OkStatus();
  const auto size = static_cast<size_t>(model.network().input_size());
  for (int64_t b = 0; b < call.batch_size; ++b) {
    for (int64_t t = 0; t < call.length(b); ++t) {
      const float* const row = call.input + t * call.input_time_stride + b * call.input_batch_stride;
      const std::string place = batched
                                    ? absl::StrCat("input[", batch_first ? b : t, ", ", batch_first ? t : b)
                                    : absl::StrCat("input[", t);
      GRUSERVE_RETURN_IF_ERROR(CheckIndexes({row, size}, model, place));
    }
  }
  return absl::OkStatus();
}

}  // namespace

StateRows::StateRows(const Network& network, int64_t batch_size)
    : network_(&network), elements_(static_cast<size_t>(batch_size * network.state_size())) {
  for (int64_t row = 0; row < batch_size; ++row)
    rows_.push_back(elements_.data() + row * network.state_size());
}

void StateRows::Read(std::span<const float> values) {
  if (values.empty()) {
    if (!network_->initial_state().empty()) InitialStates(*network_, rows_);
  } else {
    ReadStates(*network_, values, rows_);
  }
}

std::vector<float> StateRows::Get() const {
  std::vector<float> values(elements_.size());
  WriteStates(*network_, rows_, values);
  return values;
}

absl::StatusOr<SequencePlan> PlanSequence(const v1::InferSequenceRequest& request, const LoadedModel& model,
                                          int64_t max_bytes, v1::InferSequenceResponse* response) {
  const Network& network = model.network();
  GRUSERVE_ASSIGN_OR_RETURN(TensorView input, ViewTensor(request.input(), "input"));
  GRUSERVE_ASSIGN_OR_RETURN(const Axes axes, CheckSequenceInput(input, request.batch_first(), model));
  GRUSERVE_RETURN_IF_ERROR(CheckSelection(request));
  SequencePlan plan;
  GRUSERVE_ASSIGN_OR_RETURN(plan.row_steps, CheckLengths(request, axes));
  GRUSERVE_RETURN_IF_ERROR(CheckMemory(network, axes, request.output_selection(), max_bytes));
  std::vector<float> kept;
  GRUSERVE_ASSIGN_OR_RETURN(
      const std::span<const float> h_0,
      ViewStates(request.has_h_0() ? &request.h_0() : nullptr, "h_0", request.states(),
                 {.model = model, .batched = axes.batched, .batch_size = axes.batch_size}, &kept));

  plan.batched = axes.batched;
  plan.form = input.form;
  SetInput(request, input, axes, network.input_size(), plan.call);
  plan.input = std::move(input.widened);  // Whose floats stay where they are.
  GRUSERVE_RETURN_IF_ERROR(CheckSequenceIndexes(plan.call, model, axes.batched, request.batch_first()));
  plan.states = StateRows(network, axes.batch_size);
  plan.states.Read(h_0);
  SetOutput(request, plan.form, axes, network.output_size(), plan.call, response);
  plan.call.states = plan.states.rows();
  return plan;
}

void EncodeSequence(const SequencePlan& plan, const LoadedModel& model, v1::InferSequenceResponse* response) {
  if (response->has_output()) FinishTensor(plan.form, response->mutable_output());
  EncodeStates(
      plan.states.Get(), {.model = model, .batched = plan.batched, .batch_size = plan.call.batch_size},
      plan.form, [response] { return response->mutable_h_n(); }, response->mutable_states());
  *response->mutable_model() = EncodeSpec(model);
  response->set_gru_cell_count(model.network().cells_per_step() * plan.call.time_steps);
  response->set_row_steps(plan.row_steps);
}

absl::StatusOr<CellPlan> PlanCell(const v1::InferCellRequest& request, const LoadedModel& model,
                                  int64_t max_bytes, v1::InferCellResponse* response) {
  if (model.network().bare() == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(ModelLabel(model), " is a network of ", model.network().modules().size(),
                     " modules, InferCell runs one GRU cell and nothing else"));
  }
  const GruConfig& config = model.config();
  if (config.state_blocks() != 1) {
    return absl::FailedPreconditionError(absl::StrCat(ModelLabel(model), " has ", config.num_layers,
                                                      " layers and ", config.num_directions,
                                                      " directions, InferCell runs one of each"));
  }
  GRUSERVE_ASSIGN_OR_RETURN(TensorView input, ViewTensor(request.input(), "input"));
  if (input.rank() != 1 && input.rank() != 2) {
    return WrongRank("input", input.rank(), "1 ([I]) or 2 ([B, I]) are wanted");
  }
  GRUSERVE_RETURN_IF_ERROR(CheckDim(input, "input", input.rank() - 1, config.input_size, ModelLabel(model)));
  const bool batched = input.rank() == 2;
  const int64_t batch_size = batched ? input.dim(0) : 1;

  std::vector<int64_t> shape = {config.hidden_size};
  if (batched) shape.insert(shape.begin(), batch_size);
  std::optional<TensorView> h;
  if (request.has_h()) {
    GRUSERVE_ASSIGN_OR_RETURN(h, ViewTensor(request.h(), "h"));
    if (h->rank() != input.rank()) {
      return WrongRank("h", h->rank(), absl::StrCat(input.rank(), " as of the input are wanted"));
    }
    if (batched) GRUSERVE_RETURN_IF_ERROR(CheckDim(*h, "h", 0, batch_size, "the batch"));
    GRUSERVE_RETURN_IF_ERROR(CheckDim(*h, "h", h->rank() - 1, config.hidden_size, ModelLabel(model)));
  }
  GRUSERVE_RETURN_IF_ERROR(
      CheckMemory(model.network(), {batched, 1, batch_size}, v1::OUTPUT_SELECTION_ALL, max_bytes));

  const std::span<float> state = MakeTensor(shape, input.form, response->mutable_h());
  if (h) {
    std::copy(h->elements.begin(), h->elements.end(), state.begin());
  } else {
    std::fill(state.begin(), state.end(), 0.0F);
    const std::vector<float>& initial = model.network().initial_state();
    for (int64_t row = 0; row < batch_size && !initial.empty(); ++row)
      std::copy(initial.begin(), initial.end(), state.begin() + row * config.hidden_size);
  }
  CellPlan plan;
  plan.form = input.form;
  for (int64_t row = 0; row < batch_size; ++row) {
    plan.rows.push_back(
        {input.elements.data() + row * config.input_size, state.data() + row * config.hidden_size, nullptr});
  }
  plan.input = std::move(input.widened);  // Whose floats stay where they are.
  return plan;
}

}  // namespace gruserve::server

#include "core/session/checkpoint_form.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/session/session_table.h"

namespace gruserve {
namespace {

std::string ShapesText(const std::vector<StateTensorShape>& shapes) {
  const auto one = [](std::string* text, const StateTensorShape& shape) {
    absl::StrAppend(text, shape.name, " [", absl::StrJoin(shape.dims, ", "), "]");
  };
  return absl::StrJoin(shapes, ", ", one);
}

absl::Status CheckKept(const Checkpoint& from) {
  if (from.keep_states > kMostKeptStates || from.kept.size() > from.keep_states) {
    return absl::InvalidArgumentError(absl::StrCat("checkpoint.kept has ", from.kept.size(), " states of ",
                                                   from.keep_states, ", at most ", kMostKeptStates,
                                                   " are wanted"));
  }
  return absl::OkStatus();
}

absl::Status CheckRemembered(const Checkpoint& from, const LoadedModel& model) {
  const Network& network = model.network();
  const int64_t rows = std::max<int64_t>(from.batch_size, 1);
  if (from.remember_steps > kMostRememberedSteps || from.remembered.size() > from.remember_steps) {
    return absl::InvalidArgumentError(absl::StrCat("checkpoint.remembered has ", from.remembered.size(),
                                                   " responses of ", from.remember_steps, ", at most ",
                                                   kMostRememberedSteps, " are wanted"));
  }
  const auto fits = [](const std::vector<float>& values, int64_t size) {
    return values.empty() || static_cast<int64_t>(values.size()) == size;
  };
  for (size_t i = 0; i < from.remembered.size(); ++i) {
    const RememberedResponse& response = from.remembered[i];
    if (fits(response.output, rows * network.output_size()) &&
        fits(response.state, rows * network.state_size()))
      continue;
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint.remembered[", i, "] has ", response.output.size(), " output values and ",
                     response.state.size(), " of the state, ", rows * network.output_size(), " and ",
                     rows * network.state_size(), ", or none, are wanted"));
  }
  return absl::OkStatus();
}

}  // namespace

Checkpoint CheckpointForm(const LoadedModel& model, int64_t batch_size) {
  Checkpoint checkpoint;
  checkpoint.model_name = model.name();
  checkpoint.model_version = model.version();
  checkpoint.weights_sha256 = model.weights_sha256();
  checkpoint.kernel_fingerprint = model.network().kernel_fingerprint();
  checkpoint.batch_size = batch_size;
  const int64_t rows = std::max<int64_t>(batch_size, 1);
  for (const NetworkState& state : model.network().states())
    checkpoint.state_shapes.push_back({state.name, {state.blocks, rows, state.hidden_size}});
  return checkpoint;
}

absl::Status CheckAdoptable(const Checkpoint& from, const LoadedModel& model) {
  if (!model.network().steppable()) {
    return absl::FailedPreconditionError(absl::StrCat("model \"", model.name(), "\" version ",
                                                      model.version(),
                                                      " cannot step: no session can go on with it"));
  }
  const Checkpoint own = CheckpointForm(model, from.batch_size);
  if (own.state_shapes != from.state_shapes) {
    return absl::FailedPreconditionError(
        absl::StrCat("model \"", model.name(), "\" version ", model.version(), " has hidden states ",
                     ShapesText(own.state_shapes), ", the checkpoint has ", ShapesText(from.state_shapes)));
  }
  GRUSERVE_RETURN_IF_ERROR(CheckRemembered(from, model));
  return CheckKept(from);
}

absl::StatusOr<Checkpoint> AdoptCheckpoint(Checkpoint from, const LoadedModel& model) {
  GRUSERVE_RETURN_IF_ERROR(CheckAdoptable(from, model));
  Checkpoint own = CheckpointForm(model, from.batch_size);
  own.step = from.step;
  own.remember_steps = from.remember_steps;
  own.state = std::move(from.state);
  own.remembered = std::move(from.remembered);
  own.keep_states = from.keep_states;
  own.kept = std::move(from.kept);
  return own;
}

}  // namespace gruserve

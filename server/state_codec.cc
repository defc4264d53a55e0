#include "server/state_codec.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/network/state_layout.h"
#include "server/model_codec.h"

namespace gruserve::server {
namespace {

std::string StateNames(const LoadedModel& model) {
  std::string names;
  for (const NetworkState& state : model.network().states())
    absl::StrAppend(&names, names.empty() ? "" : ", ", state.name);
  return names;
}

// Of `rows` rows of one state.
size_t Elements(const NetworkState& state, int64_t rows) {
  return static_cast<size_t>(state.blocks * rows * state.hidden_size);
}

absl::Status CheckState(const TensorView& tensor, const std::string& field, const NetworkState& state,
                        const StateRowsSpec& spec) {
  const std::vector<int64_t> wanted = StateShape(state, spec.batched, spec.batch_size);
  const bool cell = state.module_kind == ModuleKind::kGruCell;
  if (tensor.rank() != static_cast<int64_t>(wanted.size())) {
    const std::string form =
        cell ? (spec.batched ? "[B, H]" : "[H]")
             : (spec.batched ? "[layers * directions, B, H]" : "[layers * directions, H]");
    return WrongRank(field, tensor.rank(),
                     absl::StrCat(wanted.size(), " (", form, ") are wanted for ", ModelLabel(spec.model),
                                  spec.batched ? " with a batch" : " without a batch"));
  }
  for (int64_t axis = 0; axis < tensor.rank(); ++axis) {
    const bool is_batch = spec.batched && axis == tensor.rank() - 2;
    GRUSERVE_RETURN_IF_ERROR(CheckDim(tensor, field, axis, wanted[static_cast<size_t>(axis)],
                                      is_batch ? "the batch" : ModelLabel(spec.model)));
  }
  return absl::OkStatus();
}

// A named tensor, and where its state begins among all values.
struct Placed {
  TensorView view;
  size_t at = 0;
};

absl::StatusOr<Placed> Place(const v1::NamedTensor& named, const std::string& field,
                             const StateRowsSpec& spec) {
  Placed placed;
  for (const NetworkState& state : spec.model.network().states()) {
    if (state.name != named.name()) {
      placed.at += Elements(state, spec.batch_size);
      continue;
    }
    GRUSERVE_ASSIGN_OR_RETURN(placed.view, ViewTensor(named.tensor(), field + ".tensor"));
    GRUSERVE_RETURN_IF_ERROR(CheckState(placed.view, field + ".tensor", state, spec));
    return placed;
  }
  return absl::InvalidArgumentError(absl::StrCat(field, ".name is no state of ", ModelLabel(spec.model),
                                                 ", it has: ", StateNames(spec.model)));
}

// Nothing is allocated before the tensors have shown how many rows there are.
absl::StatusOr<std::span<const float>> ViewNamed(const NamedTensors& named, const StateRowsSpec& spec,
                                                 std::vector<float>* kept) {
  std::vector<Placed> tensors;
  for (int i = 0; i < named.size(); ++i) {
    const std::string field = absl::StrCat("states[", i, "]");
    GRUSERVE_ASSIGN_OR_RETURN(Placed placed, Place(named[i], field, spec));
    for (const Placed& earlier : tensors) {
      if (earlier.at == placed.at)
        return absl::InvalidArgumentError(
            absl::StrCat(field, ".name is \"", named[i].name(), "\", which came before"));
    }
    tensors.push_back(std::move(placed));
  }
  const Network& network = spec.model.network();
  std::vector<float> rows(static_cast<size_t>(spec.batch_size * network.state_size()));
  std::vector<float*> row_of;
  for (int64_t row = 0; row < spec.batch_size; ++row)
    row_of.push_back(rows.data() + row * network.state_size());
  InitialStates(network, row_of);
  kept->resize(rows.size());
  WriteStates(network, row_of, *kept);
  for (const Placed& placed : tensors) {
    std::copy(placed.view.elements.begin(), placed.view.elements.end(),
              kept->begin() + static_cast<std::ptrdiff_t>(placed.at));
  }
  return std::span<const float>(*kept);
}

}  // namespace

std::vector<int64_t> StateShape(const NetworkState& state, bool batched, int64_t batch_size) {
  std::vector<int64_t> shape;
  if (state.module_kind == ModuleKind::kGru) shape.push_back(state.blocks);
  if (batched) shape.push_back(batch_size);
  shape.push_back(state.hidden_size);
  return shape;
}

absl::StatusOr<std::span<const float>> ViewStates(const v1::Tensor* single, const std::string& field,
                                                  const NamedTensors& named, const StateRowsSpec& spec,
                                                  std::vector<float>* kept) {
  if (single == nullptr && named.empty()) return std::span<const float>();
  if (single == nullptr) return ViewNamed(named, spec, kept);
  if (!named.empty())
    return absl::InvalidArgumentError(absl::StrCat(field, " and states are both set, one of them is wanted"));
  const std::vector<NetworkState>& states = spec.model.network().states();
  if (states.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is set, ", ModelLabel(spec.model), " has ",
                                                   states.size(), " states (", StateNames(spec.model),
                                                   "): `states` is wanted, with their names"));
  }
  GRUSERVE_ASSIGN_OR_RETURN(TensorView view, ViewTensor(*single, field));
  GRUSERVE_RETURN_IF_ERROR(CheckState(view, field, states.front(), spec));
  if (view.form != TensorForm::kBf16) return view.elements;
  *kept = std::move(view.widened);
  return std::span<const float>(*kept);
}

void EncodeState(std::span<const float> values, const NetworkState& state, const StateRowsSpec& spec,
                 TensorForm form, v1::Tensor* tensor) {
  const std::vector<int64_t> shape = StateShape(state, spec.batched, spec.batch_size);
  FillTensor(shape, form, values, tensor);
}

void EncodeNamedStates(std::span<const float> values, const StateRowsSpec& spec, TensorForm form,
                       NamedTensors* named) {
  for (const NetworkState& state : spec.model.network().states()) {
    const size_t elements = Elements(state, spec.batch_size);
    v1::NamedTensor* const tensor = named->Add();
    tensor->set_name(state.name);
    EncodeState(values.first(elements), state, spec, form, tensor->mutable_tensor());
    values = values.subspan(elements);
  }
}

}  // namespace gruserve::server

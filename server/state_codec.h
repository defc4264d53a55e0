// Hidden states of the wire. A model of one state has it in one field (`h_0`, `h_n`,
// `state`); a model of several has one named tensor each, in `states`. Below the server
// they are one array: state after state, each [blocks, rows, H].
//
// Thread-safe: no state of its own.

#ifndef GRUSERVE_SERVER_STATE_CODEC_H_
#define GRUSERVE_SERVER_STATE_CODEC_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/runtime/loaded_model.h"
#include "gruserve/v1/tensor.pb.h"
#include "server/tensor_codec.h"

namespace gruserve::server {

using NamedTensors = google::protobuf::RepeatedPtrField<v1::NamedTensor>;

// Whose states a message holds, and for which rows.
struct StateRowsSpec {
  const LoadedModel& model;
  bool batched = true;
  int64_t batch_size = 1;
};

// The shape of a hidden state: [layers * directions, B, H], without B where unbatched,
// without the first axis for a GRUCell.
std::vector<int64_t> StateShape(const NetworkState& state, bool batched, int64_t batch_size);

// The states that a message brings; empty where it brings none. `single` is the field
// named `field`, or null where it is not set. With `named`, a state that is not there
// begins as the model says, and `kept` holds the result. InvalidArgument, naming the
// field, for a wrong shape, an unknown name or one that comes twice, for both forms
// at once, and for `single` where the model has several states.
absl::StatusOr<std::span<const float>> ViewStates(const v1::Tensor* single, const std::string& field,
                                                  const NamedTensors& named, const StateRowsSpec& spec,
                                                  std::vector<float>* kept);

// Writes all states: to MakeSingle() where the model has one, else to `named`.
template <typename MakeSingle>
void EncodeStates(std::span<const float> values, const StateRowsSpec& spec, TensorForm form,
                  const MakeSingle& make_single, NamedTensors* named);

// The parts of EncodeStates.
void EncodeState(std::span<const float> values, const NetworkState& state, const StateRowsSpec& spec,
                 TensorForm form, v1::Tensor* tensor);
void EncodeNamedStates(std::span<const float> values, const StateRowsSpec& spec, TensorForm form,
                       NamedTensors* named);

template <typename MakeSingle>
void EncodeStates(std::span<const float> values, const StateRowsSpec& spec, TensorForm form,
                  const MakeSingle& make_single, NamedTensors* named) {
  const std::vector<NetworkState>& states = spec.model.network().states();
  if (states.size() == 1) {
    EncodeState(values, states.front(), spec, form, make_single());
  } else {
    EncodeNamedStates(values, spec, form, named);
  }
}

}  // namespace gruserve::server

#endif  // GRUSERVE_SERVER_STATE_CODEC_H_

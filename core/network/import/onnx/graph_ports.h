// The inputs and outputs of an ONNX graph, as the network has them.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRAPH_PORTS_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRAPH_PORTS_H_

#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/network/import/onnx/onnx_scope.h"

namespace gruserve {

// Inputs that are no features of a time step.
struct SpecialInputs {
  std::set<std::string> states;   // Wired to an initial_h.
  std::set<std::string> lengths;  // Wired to a sequence_lens.
};

SpecialInputs FindSpecialInputs(const OnnxModel& model);

// `axes` says what the first axes of an input are: T, B, or 1 for one of size 1 that is
// neither. Symbols that the first input gives its axes mean the same in the others.
absl::Status AddInputs(const SpecialInputs& special, std::string_view axes, OnnxScope* scope);

// Names and merges the states, and finds the output.
absl::Status AddOutputs(OnnxScope* scope);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_GRAPH_PORTS_H_

// ONNX's operators, as the graph has them. Each function reads its node's inputs in a
// scope and gives its outputs there; an error says what the node does that cannot be
// served (the caller adds which node).

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_OPERATORS_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_OPERATORS_H_

#include <string>

#include "absl/status/status.h"
#include "core/network/import/onnx/onnx_scope.h"

namespace gruserve {

using OnnxOperator = absl::Status (*)(const OnnxNode& node, OnnxScope& scope);

// Null for an operator that is not known.
OnnxOperator FindMovement(const std::string& op);               // movement_operators.cc
OnnxOperator FindArithmetic(const std::string& op);             // arithmetic_operators.cc
OnnxOperator FindFeatureOperator(const std::string& op);        // feature_operators.cc
absl::Status LowerGru(const OnnxNode& node, OnnxScope& scope);  // gru_operator.cc

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_OPERATORS_H_

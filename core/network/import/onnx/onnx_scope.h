// The state of one import: what is known of each ONNX value so far, and the graph that
// grows out of it.

#ifndef GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_SCOPE_H_
#define GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_SCOPE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/network/graph.h"
#include "core/network/import/onnx/onnx_model.h"

namespace gruserve {

// One block of a hidden state, as it is after the GRU that owns it.
struct OnnxBlock {
  int64_t state = 0;
  int64_t block = 0;
  ValueId rows = -1;  // The same at every time step; -1 where there is no such value.

  bool operator==(const OnnxBlock&) const = default;
};

struct OnnxValue {
  enum class Kind {
    kMissing,
    kConstant,
    kRows,        // A value of the graph: its features are the fixed axes, in their order.
    kState,       // A hidden state before the sequence; a graph input.
    kFinalState,  // After it: a Y_h.
  };

  Kind kind = Kind::kMissing;
  std::vector<int64_t> shape;
  OnnxTensorPtr constant;
  ValueId rows = -1;
  bool last_step = false;  // Rows: ONNX has it of the last time step only.
  bool truncated = false;  // Rows: whole numbers made of floats; only good as indices.
  std::vector<OnnxBlock> blocks;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  bool is_constant() const { return kind == Kind::kConstant; }
};

OnnxValue ConstantValue(OnnxTensor tensor);

// What a message, or a name that callers see, may have of a name in the file.
std::string PrintableName(const std::string& name);

class OnnxScope {
 public:
  explicit OnnxScope(const OnnxModel& onnx_model) : model(onnx_model) {}

  // The value of input i of a node; kMissing where it is left out.
  const OnnxValue& In(const OnnxNode& node, size_t i) const;
  // The same, for what must be known at load. `what` names it in messages.
  absl::StatusOr<OnnxTensorPtr> Constant(const OnnxNode& node, size_t i, const std::string& what) const;
  absl::StatusOr<std::vector<int64_t>> Ints(const OnnxNode& node, size_t i, const std::string& what) const;
  // The same, for numbers that are computed at every time step.
  absl::StatusOr<OnnxValue> Rows(const OnnxNode& node, size_t i) const;
  absl::StatusOr<OnnxValue> ToRows(const OnnxValue& value) const;

  // Makes `value` output i of a node, if anybody wants it.
  absl::Status Give(const OnnxNode& node, size_t i, OnnxValue value);

  // A new node of the graph, of `width` features.
  absl::StatusOr<ValueId> Append(const std::string& name, GraphOp op, std::vector<ValueId> inputs,
                                 int64_t width);
  int64_t width(ValueId value) const { return widths[static_cast<size_t>(value)]; }
  // `rows` of another value and shape.
  static OnnxValue Like(const OnnxValue& rows, ValueId value, std::vector<int64_t> shape);

  const OnnxModel& model;
  Graph graph;
  std::vector<int64_t> widths;
  std::map<std::string, OnnxValue> values;
  std::map<int64_t, std::vector<ValueId>> gru_outputs;  // By state: what its GRUs give.
  int64_t input_states = 0;                             // The first so many states are inputs of the file.
  bool batch_first_states = false;                      // A GRU of layout 1 reads one.
  std::map<std::string, int> uses;                      // How many read each ONNX value.
  bool has_time = true;                                 // Whether the file's values have a time axis at all.
  bool reset_before_confirmed = false;                  // By model.json.

 private:
  const OnnxValue missing_;
  int64_t folded_elements_ = 0;
  int64_t weights_ = 0;  // Of all nodes of the graph.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_IMPORT_ONNX_ONNX_SCOPE_H_

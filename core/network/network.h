// A loaded network: a checked graph made ready to run, as steps and as sequences.
//
// Immutable after Create, shared by all workers and sessions. What mutates while it
// runs is in NetworkReplica, one a worker, and in NetworkRun, one a sequence call.
//
// For sequences the nodes are sorted into levels. Level 0 is what row ops make of the
// inputs alone; a recurrent node (a GRU, a cell, a reversal of time) reads values of one
// level and gives one of the next. So a call runs phase by phase: the row ops of a
// level, for any rows in any order; then the recurrent nodes that read that level, over
// all time steps; then the next level.

#ifndef GRUSERVE_CORE_NETWORK_NETWORK_H_
#define GRUSERVE_CORE_NETWORK_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/compute_dtype.h"
#include "core/model/model.h"
#include "core/network/graph.h"
#include "core/network/row_program.h"

namespace gruserve {

struct NetworkNode {
  enum class Kind { kRows, kGru, kCell, kReverseTime };

  Kind kind = Kind::kRows;
  std::vector<ValueId> inputs;
  ValueId output = 0;
  int64_t level = 0;  // Of its output.
  // kRows: its instructions, in Network::program().
  size_t first_instruction = 0;
  size_t last_instruction = 0;
  // kGru.
  std::shared_ptr<const Model> model;
  // kCell: values 0 and 1 are x and h.
  std::unique_ptr<const RowProgram> body;
  ValueId body_output = 0;
  // kGru and kCell: where its part of a session's row begins.
  int64_t state_offset = 0;
};

// What one level of a sequence call does.
struct NetworkLevel {
  std::vector<size_t> rows;       // Its row ops, among the network's nodes.
  std::vector<size_t> recurrent;  // What reads this level and gives the next one.
  std::vector<ValueId> imports;   // Values that its row ops read and do not make.
  std::vector<ValueId> exports;   // Values that they make for others than themselves.
  bool writes_output = false;     // The network's output is there after the row ops.
  double flops_per_row = 0;       // Of the row ops.
};

// One hidden state, as callers name and see it.
struct NetworkState {
  std::string name;
  int64_t blocks = 1;
  int64_t hidden_size = 0;
  ModuleKind module_kind = ModuleKind::kGru;
  int64_t offset = 0;  // Where it begins in a session's row.

  bool operator==(const NetworkState&) const = default;
};

// For descriptions: one node as its importer named it.
struct NetworkModule {
  std::string name;
  std::string kind;  // "GRU", "Linear", ...
  int64_t output_size = 0;
};

class Network {
 public:
  // Tries out which batches give equal bits (slow: up to seconds for large sizes;
  // never on a request path). InvalidArgument for a graph that is not sound;
  // FailedPrecondition where the processor cannot compute in `dtype`; Internal where
  // oneDNN fails. `dtype` is for the GRUs: row ops are computed in f32.
  static absl::StatusOr<std::shared_ptr<const Network>> Create(Graph graph,
                                                               ComputeDtype dtype = ComputeDtype::kF32);
  // Of one GRU and nothing else.
  static absl::StatusOr<std::shared_ptr<const Network>> Create(GruNetwork gru);
  static std::shared_ptr<const Network> Create(std::shared_ptr<const Model> model);

  const std::vector<GraphInput>& inputs() const { return inputs_; }
  const std::string& output_name() const { return output_name_; }
  // Features of a row of input (all inputs together) and of a row of output.
  int64_t input_size() const { return shape_.input_size; }
  int64_t output_size() const { return shape_.output_size; }
  // In graph order; a session's row is one after the other.
  const std::vector<NetworkState>& states() const { return states_; }
  // Floats of hidden state that one batch row owns.
  int64_t state_size() const { return shape_.state_size; }
  // What a session's row begins with; empty: zeros.
  const std::vector<float>& initial_state() const { return initial_state_; }
  bool steppable() const { return shape_.not_steppable.empty(); }
  // Which node cannot step, and why.
  const std::string& not_steppable() const { return shape_.not_steppable; }
  // Input features that must be whole numbers.
  const std::vector<IndexFeature>& index_features() const { return shape_.index_features; }
  // GRU cells that one step of one row evaluates.
  int64_t cells_per_step() const { return shape_.cells_per_step; }
  int64_t parameter_count() const { return parameter_count_; }
  ComputeDtype compute_dtype() const { return dtype_; }
  const std::vector<NetworkModule>& modules() const { return modules_; }
  // Names what decides the bits of a result.
  const std::string& kernel_fingerprint() const { return kernel_fingerprint_; }

  // Whether a session of `other` can go on here: it takes and gives the same, and keeps the
  // same states at the same places.
  bool CanGoOnFrom(const Network& other) const;

  // The one GRU of a network that is nothing else; else null.
  const std::shared_ptr<const Model>& bare() const { return bare_; }
  // Of a bare network.
  const GruConfig& bare_config() const { return bare_->config(); }

  // How it runs. Values are numbered as in the graph; inputs first.
  const std::vector<NetworkNode>& nodes() const { return nodes_; }
  const RowProgram& program() const { return program_; }
  const std::vector<NetworkLevel>& levels() const { return levels_; }
  ValueId output() const { return output_; }
  int64_t width(ValueId value) const { return shape_.widths[static_cast<size_t>(value)]; }
  bool is_input(ValueId value) const { return value < static_cast<ValueId>(inputs_.size()); }
  // Where input `value` begins in a row of input.
  int64_t input_offset(ValueId value) const;
  // Values that a sequence call keeps for all rows and time steps, with the phases
  // (levels) from which and up to which it does.
  struct KeptValue {
    ValueId value = 0;
    int64_t first_level = 0;
    int64_t last_level = 0;
  };
  const std::vector<KeptValue>& kept_values() const { return kept_values_; }

 private:
  Network() = default;

  absl::Status Build(Graph graph);
  void Describe(const GraphNode& node, int64_t output_size);
  absl::Status AddNode(GraphNode node, ValueId output);
  void SortIntoLevels();
  void FindKeptValues();

  std::vector<GraphInput> inputs_;
  std::string output_name_;
  GraphShape shape_;
  std::vector<NetworkState> states_;
  std::vector<float> initial_state_;
  int64_t parameter_count_ = 0;
  ComputeDtype dtype_ = ComputeDtype::kF32;
  std::vector<NetworkModule> modules_;
  std::string kernel_fingerprint_;
  std::shared_ptr<const Model> bare_;

  ValueId output_ = 0;
  std::vector<NetworkNode> nodes_;
  RowProgram program_;
  std::vector<int64_t> value_levels_;
  std::vector<NetworkLevel> levels_;
  std::vector<KeptValue> kept_values_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_NETWORK_H_

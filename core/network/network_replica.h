// What one worker needs to run one network: a Replica for each GRU, a RowMachine for
// the row ops and for each cell's body. Made at load; steps allocate nothing.
//
// Not thread-safe: one thread at a time, any thread. Equal bits: a row's result does
// not depend on the rows beside it, nor on how its steps are cut into calls.

#ifndef GRUSERVE_CORE_NETWORK_NETWORK_REPLICA_H_
#define GRUSERVE_CORE_NETWORK_NETWORK_REPLICA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/aligned_buffer.h"
#include "core/model/replica.h"
#include "core/model/sequence_call.h"
#include "core/network/network.h"
#include "core/network/row_machine.h"

namespace gruserve {

class NetworkReplica {
 public:
  // Rows that one batch of steps holds.
  static constexpr int64_t kMaxRows = RowMachine::kMaxRows;

  // Internal where oneDNN fails.
  static absl::StatusOr<std::unique_ptr<NetworkReplica>> Create(std::shared_ptr<const Network> network);

  const Network& network() const { return *network_; }
  // Rows that one call of RunSteps takes in one batch.
  int64_t max_batch_size() const;

  // Runs one step of every row: input [input_size], state [state_size], output
  // [output_size]. In batches; where oneDNN fails, a batch's rows are all as before.
  // FailedPrecondition, naming the node, where the network is not steppable.
  absl::Status RunSteps(std::span<const StepRow> rows);

  // Runs a whole sequence; equal, bit for bit, to RunSteps at every time step where
  // the network is steppable.
  absl::Status RunSequence(const SequenceCall& call);

  // For NetworkRun. `node` is an index of the network's nodes.
  Replica& gru(size_t node) { return *grus_[node]; }
  RowMachine& machine() { return *machine_; }
  // One step of a cell, of up to kMaxRows rows: input x, state and output as h.
  absl::Status RunCell(size_t node, std::span<const StepRow> rows);

 private:
  explicit NetworkReplica(std::shared_ptr<const Network> network) : network_(std::move(network)) {}

  absl::Status RunBatch(std::span<const StepRow> rows);
  absl::Status RunNode(size_t node, int64_t rows);

  const std::shared_ptr<const Network> network_;
  // One for each node; null where it is of another kind.
  std::vector<std::unique_ptr<Replica>> grus_;
  std::vector<std::unique_ptr<RowMachine>> cells_;
  std::unique_ptr<RowMachine> machine_;  // Null for a bare GRU.
  AlignedBuffer states_;                 // [kMaxRows, state_size]: become the rows' own at the end.
  std::vector<StepRow> step_rows_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_NETWORK_REPLICA_H_

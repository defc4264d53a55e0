// One sequence call of a network under way, in slices that several workers may run.
//
// Phase by phase, as Network's levels say: first the row ops of a level, over all rows
// and time steps in slices of rows; then the recurrent nodes that read it, each as a
// SequenceRun (or a CellRun) of its own; then the next level. What one phase leaves
// for a later one is kept for all rows and time steps, and freed after its last use.
// A bare GRU is its SequenceRun and nothing else.
//
// Claim, Finish, Fail and the questions are for one thread at a time (a caller's
// lock); Run needs no lock, and may go on for different slices at the same time.

#ifndef GRUSERVE_CORE_NETWORK_NETWORK_RUN_H_
#define GRUSERVE_CORE_NETWORK_NETWORK_RUN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/engine/scratchpad.h"
#include "core/model/sequence_call.h"
#include "core/model/sequence_run.h"
#include "core/network/cell_run.h"
#include "core/network/network.h"

namespace gruserve {

// A piece of work.
struct NetworkSlice {
  enum class Kind {
    kPrepare,    // Makes room for the next phase.
    kRows,       // Row ops for rows [first, first + count) of the level.
    kRecurrent,  // A slice of recurrent node number `recurrent` of the level.
  };

  Kind kind = Kind::kRecurrent;
  int64_t first = 0;
  int64_t count = 0;
  size_t recurrent = 0;
  SequenceSlice gru;  // With columns: run by the queue, not by the run.
  CellRun::Slice cell;
};

class NetworkRun {
 public:
  // Bytes that may be kept between phases.
  static constexpr int64_t kMaxBytesKept = int64_t{1} << 30;

  // Allocates what the first phase needs, cut for `parallelism` workers. Where a phase
  // would keep more than kMaxBytesKept it has failed at once, with ResourceExhausted.
  // The call's arrays must live until the run is done.
  NetworkRun(std::shared_ptr<const Network> network, const SequenceCall& call, int64_t parallelism);
  NetworkRun(const NetworkRun&) = delete;
  NetworkRun& operator=(const NetworkRun&) = delete;

  // A slice for the caller to run now; nothing where none is free. `part` as for
  // SequenceRun::Claim.
  std::optional<NetworkSlice> Claim(std::optional<int> part = std::nullopt);
  bool claimable() const;

  // Of slices of columns, as SequenceRun says, for whichever of its GRUs has one.
  bool has_columns() const;
  NetworkSlice Help();
  bool helpable() const;
  void SendHelpAway();

  // Whether no slice runs, one is free, and several come one after the other: what is
  // left of the phase is work for one.
  bool IsChain() const;

  // Runs a claimed slice on `replica` (of the same network, in use by nobody else); not
  // for columns.
  absl::Status Run(const NetworkSlice& slice, NetworkReplica& replica);
  // For columns, as SequenceRun says.
  void Open(const NetworkSlice& slice) { recurrent_[slice.recurrent].gru->Open(slice.gru); }
  absl::Status Close(const NetworkSlice& slice) { return recurrent_[slice.recurrent].gru->Close(slice.gru); }
  // Takes a claimed slice back, with what Run or Close said.
  void Finish(const NetworkSlice& slice, const absl::Status& status);

  // Hands out no more slices; the first reason stays.
  void Fail(const absl::Status& status);
  const absl::Status& status() const { return status_; }

  // Whether no slice runs and none is to come.
  bool done() const { return running_ == 0 && (stage_ == Stage::kDone || !status_.ok()); }

  // Claims, runs and finishes one slice. REQUIRES: !done(), and no slice runs.
  absl::Status Advance(NetworkReplica& replica);

 private:
  // In this order within a phase; kDone after the last.
  enum class Stage { kPrepare, kRows, kRecurrent, kDone };
  // Whether the GRUs of the phase may be asked: else they are over, or being made.
  bool gru_stage() const { return stage_ == Stage::kRecurrent; }
  // One of gru, cell and neither (a reversal of time).
  struct Recurrent {
    size_t node = 0;
    std::vector<float*> states;
    std::unique_ptr<SequenceRun> gru;
    std::unique_ptr<CellRun> cell;
    bool claimed = false;
    bool finished = false;

    bool done() const { return gru != nullptr ? gru->done() : cell != nullptr ? cell->done() : finished; }
    bool claimable() const {
      return gru != nullptr ? gru->claimable() : cell != nullptr ? cell->claimable() : !claimed;
    }
  };

  const NetworkLevel& level() const { return network_->levels()[phase_]; }
  int64_t KeptBytes(int64_t level) const;
  // Room, and the runs of the phase's recurrent nodes.
  void Prepare();
  void CountRows();
  void MakeRecurrent(size_t node);
  // Goes on to the next stage that has work, once nothing of this one is left.
  void Settle();
  float* Kept(ValueId value);
  // Where value `value` of row b begins at time t.
  const float* Source(ValueId value, int64_t t, int64_t b);
  SequenceCall CallOf(const NetworkNode& node, std::span<float* const> states);
  absl::Status RunRows(const NetworkSlice& slice, NetworkReplica& replica);
  absl::Status RunBlock(std::span<const std::pair<int64_t, int64_t>> rows, NetworkReplica& replica);
  void WriteOutput(const float* row, int64_t t, int64_t b);
  void ReverseTime(const NetworkNode& node);

  // Constant after construction.
  const std::shared_ptr<const Network> network_;
  const SequenceCall call_;
  const int64_t parallelism_;
  const bool bare_;

  std::vector<Scratchpad> kept_;  // As Network::kept_values().
  std::vector<Recurrent> recurrent_;
  size_t phase_ = 0;
  Stage stage_ = Stage::kDone;
  bool last_rows_only_ = false;  // The phase's row ops are wanted for each row's last step alone.
  int64_t rows_ = 0;             // Of the phase's row ops.
  int64_t next_row_ = 0;
  int64_t slice_rows_ = 1;
  bool preparing_ = false;
  int64_t running_ = 0;  // Slices claimed and not finished.
  absl::Status status_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_NETWORK_RUN_H_

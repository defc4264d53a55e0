// A composed cell over the time steps of one sequence call: its rows in lanes of up to
// 64, each lane from its first step to its last, a slice of steps at a time. Lanes
// may run at the same time, each on its own replica.
//
// Claim, Finish and done are for one thread at a time; Run needs no lock.

#ifndef GRUSERVE_CORE_NETWORK_CELL_RUN_H_
#define GRUSERVE_CORE_NETWORK_CELL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "core/model/sequence_call.h"
#include "core/network/network_replica.h"

namespace gruserve {

class CellRun {
 public:
  struct Slice {
    size_t lane = 0;
    int64_t time = 0;
    int64_t steps = 0;
  };

  // `node` is a cell of `network`; `call` has its input x, its states, and as output
  // every h, or null. The call's arrays must outlive the run.
  CellRun(const Network& network, size_t node, const SequenceCall& call);

  std::optional<Slice> Claim();
  bool claimable() const;
  absl::Status Run(const Slice& slice, NetworkReplica& replica) const;
  void Finish(const Slice& slice);
  bool done() const;

 private:
  struct Lane {
    int64_t first_row = 0;
    int64_t rows = 0;
    int64_t time = 0;
    int64_t length = 0;  // Of its longest row.
    bool running = false;

    bool free() const { return !running && time < length; }
  };

  const size_t node_;
  const SequenceCall call_;
  int64_t max_slice_steps_ = 1;
  std::vector<Lane> lanes_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_CELL_RUN_H_

// The workers: threads that own the arithmetic, one OpenMP thread each.
//
// Work-conserving, with no timer: a free worker takes the ready steps of a model
// (up to 64 rows) at once, models in turn, and runs one slice of a sequence between
// two batches, so that neither starves the other. How many workers run one model
// follows from what its batches cost (step_queue.h); workers without steps share
// the slices of one sequence (sequence_queue.h). Where nothing else goes on, a
// few steps or a short sequence run on the thread that submits them, which saves the
// hand-over: at once, or when the thread comes back, so that what several callers bring
// is one batch.
//
// Thread-safe. The destructor finishes what was submitted, then joins, and waits for who
// was asked back.

#ifndef GRUSERVE_CORE_RUNTIME_COMPUTE_POOL_H_
#define GRUSERVE_CORE_RUNTIME_COMPUTE_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/runtime/executor.h"
#include "core/runtime/step_batch.h"
#include "core/runtime/usable_processors.h"

namespace gruserve {

class ComputePool : public Executor {
 public:
  struct Options {
    int num_workers = 0;                  // 0: UsableProcessors().
    int64_t max_queued_steps = 1 << 20;   // Steps waiting, over all models.
    int64_t max_queued_sequences = 1024;  // Sequences waiting or begun.
    // Called after each batch of steps, on its worker: model, rows, how long
    // its oldest step had waited, how long it ran. May be empty; must be quick.
    StepBatch::Observe observe_batch;
    // Steps, and sequences of steps, that cost up to so much run on the thread that
    // submits them, where the server is idle otherwise. Zero: never.
    absl::Duration in_place_limit;
    // A batch of several callers' steps that costs up to so much runs on the thread that
    // comes back; a worker takes what costs more.
    absl::Duration gather_limit = absl::Microseconds(150);
    // Asks a thread that submits steps to call ComeBack once, when it has dealt with what it
    // has at hand. Called with no lock held, and not again before ComeBack has begun. Empty:
    // nobody comes back.
    std::function<void()> ask_back;
  };

  // Returns when every worker waits for work. REQUIRES: `clock` outlives the pool.
  ComputePool(Options options, Clock* clock);
  ~ComputePool() override;

  // Workers running: replicas to make for each model.
  int num_workers() const;

  // Runs what callers left for the thread that comes back, steps as one batch or a lone
  // sequence, or has workers run it. REQUIRES: Options::ask_back was called.
  void ComeBack();

  absl::Status SubmitStep(StepTask* task) override;
  absl::Status SubmitSequence(SequenceTask* task) override;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_COMPUTE_POOL_H_

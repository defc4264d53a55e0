// What one thread gathers while it handles one message, or delivers one batch:
// steps, to submit them together, and those who want to be told once at the end
// rather than after each result. So a message of 64 steps costs one lock and one
// wake-up, and its 64 results one message back.
//
// A round belongs to the thread that made it, and ends with its scope. A round
// inside another one joins it.

#ifndef GRUSERVE_CORE_RUNTIME_WORK_ROUND_H_
#define GRUSERVE_CORE_RUNTIME_WORK_ROUND_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/runtime/task_queue.h"

namespace gruserve {

class StepTask;

// Told at the end of a round, with no lock held.
class RoundListener {
 public:
  virtual ~RoundListener() = default;
  virtual void OnRoundEnd() = 0;
};

// Takes the steps of a round, on its thread, with no round open. Thread-safe.
class StepPublisher {
 public:
  virtual ~StepPublisher() = default;
  // `from_caller`: the thread has nothing else to do, so that a few steps may run
  // on it. REQUIRES: !steps.empty().
  virtual void Publish(TaskQueue<StepTask> steps, bool from_caller) = 0;
};

class WorkRound {
 public:
  enum class Thread { kCaller, kWorker };

  explicit WorkRound(Thread thread);
  // Submits what is left, then tells the listeners.
  ~WorkRound();

  WorkRound(const WorkRound&) = delete;
  WorkRound& operator=(const WorkRound&) = delete;

  // This thread's, or null.
  static WorkRound* Current();

  // Submits `task` to `publisher` at the end of the round, or as soon as as many
  // rows are there as are worth a worker. REQUIRES: the task's model is set.
  void Add(StepTask* task, StepPublisher* publisher);
  // Once for each call: a listener knows whether it has asked already.
  void TellAtEnd(std::shared_ptr<RoundListener> listener) { listeners_.push_back(std::move(listener)); }

 private:
  void Publish(bool from_caller);

  const Thread thread_;
  const bool joined_;  // Another round was open: it is the one in use.
  StepPublisher* publisher_ = nullptr;
  TaskQueue<StepTask> steps_;
  int64_t rows_ = 0;
  bool parted_ = false;  // Some went already.
  std::vector<std::shared_ptr<RoundListener>> listeners_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_WORK_ROUND_H_

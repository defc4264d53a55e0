// Sequence tasks of one model that run as one call: rows of several calls together
// cost less than each alone, and have the same bits.
//
// Not thread-safe. The tasks outlive it.

#ifndef GRUSERVE_CORE_RUNTIME_JOINED_CALLS_H_
#define GRUSERVE_CORE_RUNTIME_JOINED_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/model/sequence_call.h"

namespace gruserve {

class SequenceTask;

class JoinedCalls {
 public:
  // Whether `other` may join calls of `rows` rows in all that `first` leads: of the
  // same model, which is a bare GRU, neither much longer than the other, and so few rows that each more
  // makes all cheaper.
  static bool Fit(const SequenceTask& first, int64_t rows, const SequenceTask& other);

  // REQUIRES: not empty.
  explicit JoinedCalls(std::vector<SequenceTask*> tasks)
      : tasks_(std::move(tasks)), refusals_(tasks_.size()) {}

  std::span<SequenceTask* const> tasks() const { return tasks_; }

  // Leaves task `index` out of the call; it is told `reason` when the others are told.
  void Refuse(size_t index, const absl::Status& reason) { refusals_[index] = reason; }
  // One call of all that are not refused, without rows where that is none. Valid while
  // this is.
  SequenceCall Join();

  // What task `index` is told where the call ended with `status`.
  absl::Status Answer(size_t index, const absl::Status& status) const {
    return refusals_[index].ok() ? status : refusals_[index];
  }
  // Whether nobody waits for the call any more.
  bool cancelled() const;

 private:
  std::vector<SequenceTask*> tasks_;
  std::vector<absl::Status> refusals_;  // Of each task; OK: it is in the call.
  std::vector<SequenceRow> rows_;
  std::vector<int64_t> lengths_;
  std::vector<float*> states_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_JOINED_CALLS_H_

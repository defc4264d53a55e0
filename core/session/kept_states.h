// The hidden states after the last operations of one session, to go back to.
//
// Pure: no locks, no time, no I/O. Not thread-safe.

#ifndef GRUSERVE_CORE_SESSION_KEPT_STATES_H_
#define GRUSERVE_CORE_SESSION_KEPT_STATES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/store/checkpoint.h"

namespace gruserve {

class KeptStates {
 public:
  // Keeps the states after the last `most` operations. REQUIRES: most >= 1.
  explicit KeptStates(int64_t most) : most_(static_cast<size_t>(most)) {}

  int64_t most() const { return static_cast<int64_t>(most_); }

  // The most bytes that it holds where a state has `state_size` floats; the largest
  // int64 where that is too many to count.
  static int64_t Bytes(int64_t most, int64_t state_size);

  // The state after the operation that ends at place `step` of the log, behind all others.
  void Add(int64_t step, std::vector<float> state);

  // The state after `step`, valid until the next Add. OutOfRange where it is not kept;
  // says which are.
  absl::StatusOr<const std::vector<float>*> Find(int64_t step) const;

  // All of them, oldest first, and the inverse: what is more than it may keep is left out.
  std::vector<KeptState> Get() const { return {states_.begin(), states_.end()}; }
  void Set(std::span<const KeptState> states);

 private:
  const size_t most_;
  std::deque<KeptState> states_;  // By rising step.
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_SESSION_KEPT_STATES_H_

#include "core/session/kept_states.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/checked_math.h"

namespace gruserve {
namespace {

// The vector's block and its place in the deque.
constexpr int64_t kStateBytes = 64;

}  // namespace

int64_t KeptStates::Bytes(int64_t most, int64_t state_size) {
  constexpr int64_t kTooMany = std::numeric_limits<int64_t>::max();
  const int64_t bytes = CheckedMultiply(state_size, int64_t{sizeof(float)}).value_or(kTooMany);
  return CheckedMultiply(most, CheckedAdd(bytes, kStateBytes).value_or(kTooMany)).value_or(kTooMany);
}

void KeptStates::Add(int64_t step, std::vector<float> state) {
  states_.push_back({step, std::move(state)});
  if (states_.size() > most_) states_.pop_front();
}

absl::StatusOr<const std::vector<float>*> KeptStates::Find(int64_t step) const {
  const auto found = std::find_if(states_.begin(), states_.end(),
                                  [step](const KeptState& kept) { return kept.step == step; });
  if (found != states_.end()) return &found->state;
  const auto number = [](std::string* text, const KeptState& kept) { absl::StrAppend(text, kept.step); };
  return absl::OutOfRangeError(absl::StrCat("rewind_to is ", step, ", states are kept after steps ",
                                            absl::StrJoin(states_, ", ", number)));
}

void KeptStates::Set(std::span<const KeptState> states) {
  if (states.size() > most_) states = states.last(most_);
  states_.assign(states.begin(), states.end());
}

}  // namespace gruserve

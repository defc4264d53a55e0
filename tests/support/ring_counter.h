// A GRU that counts its own steps, and forgets none: a step that is lost or done twice
// shows for ever, where other networks forget it within a few hundred steps.
//
// One unit of each of its rings, of 7, 11 and 13 units, is +1, all others are -1; each step
// moves it by one. The first input is 1, which sets the rings up, all others are 0. With
// the update gate at 0 and the reset gate at 1 the next state is tanh(W_n x + U_n h), and
// tanh(20) is 1.0F: every unit is exactly 1 or -1.

#ifndef GRUSERVE_TESTS_SUPPORT_RING_COUNTER_H_
#define GRUSERVE_TESTS_SUPPORT_RING_COUNTER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tests/support/reference_gru.h"

namespace gruserve {

class RingCounter {
 public:
  static constexpr int64_t kRings[] = {7, 11, 13};
  static constexpr int64_t kPeriod = 7 * 11 * 13;
  static constexpr GruConfig kConfig = {.input_size = 1, .hidden_size = 7 + 11 + 13};

  static RandomGruNetwork Network();
  // The input of step `step`, from 1 on, and the state after it, which is its output.
  static std::vector<float> Input(int64_t step) { return {step == 1 ? 1.0F : 0.0F}; }
  static std::vector<float> After(int64_t step);
  // How many steps led to `state`, modulo kPeriod; nothing where no number of them does.
  static std::optional<int64_t> Steps(std::span<const float> state);
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_RING_COUNTER_H_

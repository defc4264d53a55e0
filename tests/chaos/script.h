// What each session does: a function of the seed, the session and the operation's
// number alone, so that whoever checks it needs no word from whoever does it.

#ifndef GRUSERVE_TESTS_CHAOS_SCRIPT_H_
#define GRUSERVE_TESTS_CHAOS_SCRIPT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace gruserve::chaos {

struct ModelShape {
  int64_t input_size = 0;
  int64_t layers = 1;
  int64_t hidden_size = 0;
};

// Operations whose states a session keeps.
constexpr int64_t kKeptStates = 8;

struct Operation {
  bool set_state = false;
  // Of a state set: not 0 where the state so many operations before the last comes
  // back, the first one where there are not so many.
  int64_t rewind_back = 0;
  int64_t time_steps = 1;     // Of a step; more than one is a chunk.
  std::vector<float> values;  // [T, I]; a state [layers, H], or none for a reset.
};

// Mostly steps, a few chunks, resets, states and rewinds.
Operation OperationOf(uint64_t seed, int64_t session, int64_t number, const ModelShape& shape);

// The hash of all outputs up to here, from that of all before.
uint64_t Chain(uint64_t before, std::span<const float> values);

}  // namespace gruserve::chaos

#endif  // GRUSERVE_TESTS_CHAOS_SCRIPT_H_

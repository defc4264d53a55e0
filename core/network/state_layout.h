// Hidden states of a batch in their two orders: one run of memory a batch row, as
// sessions and calls keep them; and, as callers send and see them, state after state,
// each [blocks, rows, H]. Thread-safe: no state of its own.

#ifndef GRUSERVE_CORE_NETWORK_STATE_LAYOUT_H_
#define GRUSERVE_CORE_NETWORK_STATE_LAYOUT_H_

#include <span>

#include "core/network/network.h"

namespace gruserve {

// Copies from the callers' order. REQUIRES: state_size() numbers a row.
void ReadStates(const Network& network, std::span<const float> values, std::span<float* const> rows);
// The inverse of ReadStates.
void WriteStates(const Network& network, std::span<float* const> rows, std::span<float> values);
// What states begin with.
void InitialStates(const Network& network, std::span<float* const> rows);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_NETWORK_STATE_LAYOUT_H_

// What one sequence call reads and writes. A plain value; the arrays are the
// caller's.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace gruserve {

// One whole sequence call over `batch_size` rows.
struct SequenceCall {
  int64_t time_steps = 0;
  int64_t batch_size = 0;
  const float* input = nullptr;    // Row r at time t begins at
  int64_t input_time_stride = 0;   // input + t * input_time_stride
  int64_t input_batch_stride = 0;  //       + r * input_batch_stride.
  float* output = nullptr;         // [D * H] a row and time, or null.
  int64_t output_time_stride = 0;
  int64_t output_batch_stride = 0;
  bool last_output_only = false;     // Write only each row's own last output,
                                     // at output + r * output_batch_stride.
  std::span<const int64_t> lengths;  // One a row, 1 to T; empty: all T. The
                                     // output is zero past a row's length.
  std::span<float* const> states;    // One a row: [layers * D, H], replaced.

  int64_t length(int64_t row) const {
    return lengths.empty() ? time_steps : lengths[static_cast<size_t>(row)];
  }
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_

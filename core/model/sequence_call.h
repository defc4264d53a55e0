// What one sequence call reads and writes. A plain value; the arrays are the
// caller's.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace gruserve {

// One row of a call.
struct SequenceRow {
  int64_t time_steps = 0;  // Of the call that it came with.
  const float* input = nullptr;
  int64_t input_time_stride = 0;
  float* output = nullptr;  // Or null.
  int64_t output_time_stride = 0;
  bool last_output_only = false;
};

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
  // Rows of several calls as one: in place of input, output, their strides and
  // last_output_only; time_steps is the most of any row's.
  std::span<const SequenceRow> rows;

  SequenceRow row(int64_t index) const {
    if (!rows.empty()) return rows[static_cast<size_t>(index)];
    return {.time_steps = time_steps,
            .input = input + index * input_batch_stride,
            .input_time_stride = input_time_stride,
            .output = output == nullptr ? nullptr : output + index * output_batch_stride,
            .output_time_stride = output_time_stride,
            .last_output_only = last_output_only};
  }

  int64_t length(int64_t row) const {
    return lengths.empty() ? time_steps : lengths[static_cast<size_t>(row)];
  }
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_CALL_H_

// How a sequence call is cut into pieces that several workers can run: its rows
// into groups, its time into slices. It changes no bit of the result.

#ifndef GRUSERVE_CORE_MODEL_SEQUENCE_SPLIT_H_
#define GRUSERVE_CORE_MODEL_SEQUENCE_SPLIT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/model.h"
#include "core/model/sequence_call.h"

namespace gruserve {

struct SequenceSplit {
  std::vector<int64_t> order;  // Rows of the call, group after group, each longest first.
  // Where each group begins in `order`, and the end. The first group has the most
  // rows, and each of them is at least as long as its like in any other group.
  std::vector<int64_t> begins;
  bool shared = false;          // Cut for more than one worker.
  int64_t lanes = 1;            // Groups that run at the same time.
  int64_t max_slice_steps = 1;  // Time steps of a slice, at most.
  // Whether two workers may share each slice of the one track that runs, by columns, and
  // how many steps such a slice has at most.
  bool columns = false;
  int64_t max_column_steps = 0;
  // Whether a layer begins when the one below has ended, rather than in a wave.
  bool layer_by_layer = false;
  int64_t slices_between = 1;  // How far a layer may run ahead of the next, in slices.

  int64_t num_groups() const { return static_cast<int64_t>(begins.size()) - 1; }
  std::span<const int64_t> group(int64_t index) const;
};

// Cuts `call` for `parallelism` workers; 1, and calls too small to share, keep the
// longest slices and the fullest groups. REQUIRES: time_steps, batch_size >= 1.
SequenceSplit SplitSequence(const Model& model, const SequenceCall& call, int64_t parallelism);

// Whether two workers that have nothing else to do share a call of one row and step.
bool SharesLoneStep(const Model& model);

// Steps that a slice of columns has at most: of one row.
int64_t MaxColumnSteps(const Model& model);

// Rows that a step by columns computes, with padding, where `rows` are wanted: as
// many as single steps do.
int64_t ColumnBatch(const Model& model, int64_t rows);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_SEQUENCE_SPLIT_H_

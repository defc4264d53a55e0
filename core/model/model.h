// A loaded GRU network: shape, weights, and the buckets that give equal bits.
//
// Immutable after Create, shared by all workers and sessions. What mutates
// while it runs is in Replica, one a worker.

#ifndef GRUSERVE_CORE_MODEL_MODEL_H_
#define GRUSERVE_CORE_MODEL_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/bucket_set.h"
#include "core/engine/gru_columns.h"
#include "core/model/column_slice_pool.h"
#include "core/model/gru_config.h"
#include "core/model/gru_weights.h"

namespace gruserve {

class Model {
 public:
  // Chooses the buckets by comparing bits (slow: up to seconds for a large hidden
  // size; never on a request path). InvalidArgument where a size does not fit the
  // config or a weight is not finite (in the config's compute_dtype);
  // FailedPrecondition where the processor cannot compute in that; Internal where
  // oneDNN fails.
  static absl::StatusOr<std::shared_ptr<const Model>> Create(GruNetwork network);

  const GruConfig& config() const { return network_.config; }
  int64_t parameter_count() const { return network_.parameter_count; }
  // Weights of layer `layer` (0-based) and direction `direction` (0 or 1), for the
  // primitives of compute_dtype.
  const GruLayerWeights& weights(int64_t layer, int64_t direction) const;
  // Shape of layer `layer`; all but the first have the same.
  GruLayerShape layer_shape(int64_t layer) const;
  // How many shapes those are, 1 or 2; and which of them a layer has. Layer 0 has shape 0, layer
  // 1 the other one where there are two.
  int64_t num_shapes() const {
    return config().num_layers > 1 && config().input_size != config().layer_input_size(1) ? 2 : 1;
  }
  size_t shape_index(int64_t layer) const { return layer > 0 && num_shapes() > 1 ? 1 : 0; }
  // Buckets that suit every layer.
  const BucketSet& buckets() const { return buckets_; }
  // Whether two workers can share a layer of few rows: of one direction, and with equal bits.
  bool has_columns() const { return !columns_.empty(); }
  // REQUIRES: has_columns().
  const GruColumns& columns(int64_t layer) const { return *columns_[static_cast<size_t>(layer)]; }
  // Room for what runs of this model compute by columns; thread-safe.
  ColumnSlicePool& column_slices() const { return *column_slices_; }
  // Names what decides the bits of a result: oneDNN version, its instruction
  // set here, the compute_dtype and the buckets kept.
  const std::string& kernel_fingerprint() const { return kernel_fingerprint_; }

 private:
  using Columns = std::vector<std::unique_ptr<const GruColumns>>;

  static absl::StatusOr<Columns> MakeColumns(const GruNetwork& network);
  Model(GruNetwork network, BucketSet buckets, Columns columns);

  const GruNetwork network_;
  const BucketSet buckets_;
  const Columns columns_;  // Of each layer, or of none.
  const std::unique_ptr<ColumnSlicePool> column_slices_ = std::make_unique<ColumnSlicePool>();
  const std::string kernel_fingerprint_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_MODEL_H_

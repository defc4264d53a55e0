// One GRU layer, linear before reset, for one row and some steps: what GruPrimitive
// does for a bucket of one row, where oneDNN's primitive for that adds in another order
// than for more rows. Without it a lone row would have to run as two.
//
// Built of oneDNN's matrix products (row_product.h) and functions. Whether the bits are
// those of the primitives is for bucket_trial.h to say. Not thread-safe. Make and run
// it under SingleOmpThread.

#ifndef GRUSERVE_CORE_ENGINE_LONE_ROW_H_
#define GRUSERVE_CORE_ENGINE_LONE_ROW_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/bucket.h"
#include "core/engine/gru_primitive.h"

namespace gruserve {

class LoneRow {
 public:
  // Whether a layer can be computed so.
  static bool Fits(const GruLayerShape& shape);

  // Internal where oneDNN fails. REQUIRES: Fits(shape), bucket.lone_row_block > 0,
  // bucket.batch_size is 1.
  static absl::StatusOr<LoneRow> Create(const GruLayerShape& shape, const Bucket& bucket);

  LoneRow(LoneRow&&) noexcept;
  LoneRow& operator=(LoneRow&&) noexcept;
  ~LoneRow();

  int64_t scratchpad_bytes() const;

  // As GruPrimitive::Run.
  absl::Status Run(const GruArguments& arguments);

 private:
  struct Rep;
  explicit LoneRow(std::unique_ptr<Rep> rep);

  std::unique_ptr<Rep> rep_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_LONE_ROW_H_

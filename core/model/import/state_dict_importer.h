// Reads a PyTorch state_dict of one nn.GRU or nn.GRUCell from a safetensors
// file. No config is needed: names and shapes say everything.

#ifndef GRUSERVE_CORE_MODEL_IMPORT_STATE_DICT_IMPORTER_H_
#define GRUSERVE_CORE_MODEL_IMPORT_STATE_DICT_IMPORTER_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "core/model/gru_weights.h"
#include "core/model/import/safetensors_reader.h"

namespace gruserve {

// InvalidArgument, naming the tensor, what came and what was wanted, for
// anything that is not exactly one GRU or GRUCell: a foreign tensor, half a
// direction, one bias without the other, four gates (an LSTM), a wrong shape or
// dtype. One key prefix that all tensors share is stripped. F32 is kept; F16,
// BF16 and F64 are converted to f32.
absl::StatusOr<GruNetwork> ImportStateDict(const SafetensorsFile& file);

// The same of one GRU or GRUCell among other modules: the tensors behind `prefix`
// ("gru." or empty), whose names are added to `used`. Others are left alone.
absl::StatusOr<GruNetwork> ImportGru(const SafetensorsFile& file, const std::string& prefix,
                                     CellKind cell_kind, std::set<std::string>* used);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_IMPORT_STATE_DICT_IMPORTER_H_

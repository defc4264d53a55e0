// Tensors of a safetensors file as floats. Thread-safe: no state.

#ifndef GRUSERVE_CORE_MODEL_IMPORT_TENSOR_READER_H_
#define GRUSERVE_CORE_MODEL_IMPORT_TENSOR_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/import/safetensors_reader.h"

namespace gruserve {

// A name from the file in a message: not too long.
std::string ShownTensorName(const std::string& name);

// The numbers of one of the file's tensors. F32 is kept; F16, BF16 and F64 are converted
// to f32. InvalidArgument, naming it, where its shape is not `wanted`, or for another
// dtype.
absl::StatusOr<std::vector<float>> ReadTensor(const SafetensorsFile& file, const std::string& name,
                                              const SafetensorsEntry& entry,
                                              const std::vector<int64_t>& wanted);

}  // namespace gruserve

#endif  // GRUSERVE_CORE_MODEL_IMPORT_TENSOR_READER_H_
